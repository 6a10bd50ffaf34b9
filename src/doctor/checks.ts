/** What has to hold between the proxy and a Glance, and what is good to know. */
import { SIZE_HEADER } from "../upload/declared-size.js";
import { NotAllowed, withDisposableImage } from "./disposable-image.js";
import type { AskedGlance, GlanceAnswer } from "./glance.js";

/** `unknown`: could not be seen; `problem`: has to be mended. */
export type Finding = "ok" | "problem" | "unknown";

export interface CheckResult {
  readonly check: string;
  readonly finding: Finding;
  readonly detail: string;
}

const MAX_CLOCK_SKEW_MS = 30_000;
const DAY_MS = 86_400_000;
/** The alert for certificates fires as early. */
const MIN_CERTIFICATE_DAYS = 14;
/** Generous: how long it takes is told. */
const ROLLBACK_TIMEOUT_MS = 30_000;

const BODY = "hello";

/** Runs all checks, in order. Without an answer of Glance there is only the first. */
export async function runChecks(glance: AskedGlance, hasToken: boolean): Promise<CheckResult[]> {
  let answer: GlanceAnswer;
  try {
    answer = await glance.ask("GET", "/versions");
  } catch (error) {
    return [{ check: "reachable", finding: "problem", detail: (error as Error).message }];
  }
  const seen = [checkGlance(answer), checkClock(answer), ...checkCertificate(answer)];
  for (const check of [checkHeader, checkContentLength, checkRollback])
    seen.push(await check(glance, hasToken));
  return seen;
}

function checkGlance({ status, headers, text }: GlanceAnswer): CheckResult {
  const check = "reachable";
  if (/glance-size-proxy/.test(headers.via ?? "")) {
    return {
      check,
      finding: "problem",
      detail: "this is glance-size-proxy itself: give the address of Glance",
    };
  }
  const version = currentVersion(text);
  return version === undefined
    ? {
        check,
        finding: "problem",
        detail: `not a Glance: /versions answered ${status} without image API versions`,
      }
    : { check, finding: "ok", detail: `Glance, image API ${version}` };
}

function currentVersion(text: string): string | undefined {
  try {
    const { versions } = JSON.parse(text) as { versions: { id: string; status: string }[] };
    return versions.find(({ id, status }) => status === "CURRENT" && id.startsWith("v2."))?.id;
  } catch {
    return undefined;
  }
}

function checkClock({ headers }: GlanceAnswer): CheckResult {
  const check = "clock";
  const theirs = Date.parse(headers.date ?? "");
  if (Number.isNaN(theirs)) return { check, finding: "unknown", detail: "Glance's answers have no Date" };
  const skewMs = Math.abs(Date.now() - theirs);
  const detail = `${Math.round(skewMs / 1000)} s apart`;
  return skewMs > MAX_CLOCK_SKEW_MS
    ? {
        check,
        finding: "problem",
        detail: `${detail}: tokens and certificates will seem to be too old or too new`,
      }
    : { check, finding: "ok", detail };
}

/** Nothing where there is no TLS. Whether the certificate holds was decided by connecting. */
function checkCertificate({ certificateEnds }: GlanceAnswer): CheckResult[] {
  if (certificateEnds === undefined) return [];
  const days = Math.floor((certificateEnds.getTime() - Date.now()) / DAY_MS);
  const detail = `Glance's certificate ends on ${certificateEnds.toISOString().slice(0, 10)}, in ${days} days`;
  return [{ check: "certificate", finding: days < MIN_CERTIFICATE_DAYS ? "problem" : "ok", detail }];
}

/** A Glance of 2025.2 or later refuses a body of another size than the header says. */
const checkHeader = onImages("size header", async (glance) =>
  withDisposableImage(glance, async (image) => {
    const { status, text } = await image.upload(BODY, { [SIZE_HEADER]: String(BODY.length - 1) });
    if (status === 204) {
      return ok("ignored: a Glance before 2025.2; behind the proxy it is enforced all the same");
    }
    return status === 400 && text.includes("Size exceeds")
      ? ok("honoured: Glance 2025.2 or later; the proxy gives it to clients that do not send it")
      : problem(`an upload of a wrong size was answered ${status}`);
  }),
);

const checkContentLength = onImages("Content-Length", async (glance) =>
  withDisposableImage(glance, async (image) => {
    const { status } = await image.upload(BODY, {});
    if (status !== 204) return problem(`an upload with Content-Length was answered ${status}`);
    const size = await image.size();
    return size === BODY.length
      ? ok("read: an upload is whole with its last byte")
      : problem(`an upload of ${BODY.length} bytes made an image of ${size}`);
  }),
);

const checkRollback = onImages("roll-back", async (glance) =>
  withDisposableImage(glance, async (image) => {
    const headers = { "content-type": "application/octet-stream", "content-length": "1000" };
    const cut = glance.beginUpload(`/v2/images/${image.id}/file`, headers, BODY);
    const begun = await image.untilStatus(["saving"], ROLLBACK_TIMEOUT_MS).finally(cut);
    if (begun !== "saving") return problem(`an upload that was begun left the image ${begun}`);
    const cutAt = performance.now();
    const after = await image.untilStatus(["queued", "active"], ROLLBACK_TIMEOUT_MS);
    return after === "queued"
      ? ok(`an upload that was cut left the image queued after ${Math.round(performance.now() - cutAt)} ms`)
      : problem(`an upload that was cut left the image ${after}`);
  }),
);

type Outcome = Omit<CheckResult, "check">;

const ok = (detail: string): Outcome => ({ finding: "ok", detail });
const problem = (detail: string): Outcome => ({ finding: "problem", detail });

/** A check that has to make an image. */
function onImages(check: string, act: (glance: AskedGlance) => Promise<Outcome>) {
  return async (glance: AskedGlance, hasToken: boolean): Promise<CheckResult> => {
    try {
      return { check, ...(await act(glance)) };
    } catch (error) {
      const { message } = error as Error;
      if (!(error instanceof NotAllowed)) return { check, ...problem(message) };
      return hasToken
        ? { check, ...problem(`${message}: the token may not make images, or has ended`) }
        : { check, finding: "unknown", detail: "needs to make an image: give --token, or OS_TOKEN" };
    }
  };
}
