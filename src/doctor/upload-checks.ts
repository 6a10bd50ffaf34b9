/** Checks that upload to Glance. Each check creates a test image and deletes it. */
import { SIZE_HEADER } from "../vocabulary/size-header.js";
import { type CheckResult, hint, ok, type Outcome, problem, unknown } from "./check.js";
import { NotAllowed, withDisposableImage } from "./disposable-image.js";
import type { GlanceAnswer, GlanceClient } from "./glance-client.js";

export const UPLOAD_CHECKS = [
  "size header",
  "Content-Length",
  "100 Continue",
  "roll-back",
  "pauses",
] as const;

export interface UploadChecks {
  readonly results: CheckResult[];
  /** Whether the server answers `Expect: 100-continue`. Undefined if Glance accepted no upload. */
  readonly continues: boolean | undefined;
}

/** Far above the time of a healthy rollback. The detail reports the measured time. */
const ROLLBACK_TIMEOUT_MS = 30_000;
const BEGIN_TIMEOUT_MS = 10_000;
/** Longer than the default `socket-timeout` of Debian's uWSGI (10 s). */
const PAUSE_MS = 15_000;

const BODY = "hello";
/** The part that is sent of an unfinished body. Above 16 KiB, because Apache forwards nothing below that. */
const PART = "x".repeat(128 * 1024);
const ANNOUNCED = { "content-type": "application/octet-stream", "content-length": "1000000" };

export async function checkUploads(glance: GlanceClient): Promise<UploadChecks> {
  const header = await onImage(glance, checkHeader);
  let answer: GlanceAnswer | undefined;
  const length = await onImage(glance, async (image) => {
    answer = await image.upload(BODY, { expect: "100-continue" });
    return checkContentLength(answer, await image.size());
  });
  const continues = answer && answer.status === 204 ? answer.continuedAfterMs !== undefined : undefined;
  const rollback = await onImage(glance, checkRollback);
  // Only uWSGI is known to end an upload that pauses for seconds, and only uWSGI never sends `100 Continue`.
  const pauses = continues === false ? await onImage(glance, checkPause) : unmeasuredPause(continues);
  return {
    continues,
    results: [
      { check: "size header", ...header },
      { check: "Content-Length", ...length },
      { check: "100 Continue", ...describeContinue(answer, continues) },
      { check: "roll-back", ...rollback },
      { check: "pauses", ...pauses },
    ],
  };
}

type Image = Parameters<Parameters<typeof withDisposableImage>[1]>[0];

/** Glance 2025.2 or later refuses a body whose size differs from the header. */
async function checkHeader(image: Image): Promise<Outcome> {
  const { status, text } = await image.upload(BODY, { [SIZE_HEADER]: String(BODY.length - 1) });
  if (status === 204) {
    return ok("ignored: a Glance before 2025.2. The proxy enforces the size instead", {
      honoured: false,
    });
  }
  return status === 400 && text.includes("Size exceeds")
    ? ok("honoured: Glance 2025.2 or later. The proxy adds the header for clients that do not send it", {
        honoured: true,
      })
    : problem(`Glance answered ${status} to an upload of a wrong size`);
}

function checkContentLength({ status }: GlanceAnswer, sizeBytes: number | null): Outcome {
  if (status !== 204) return problem(`Glance answered ${status} to an upload with Content-Length`);
  return sizeBytes === BODY.length
    ? ok("Glance reads it: an upload is complete with its last byte")
    : problem(`an upload of ${BODY.length} bytes became an image of ${sizeBytes} bytes`);
}

function describeContinue(answer: GlanceAnswer | undefined, continues: boolean | undefined): Outcome {
  if (continues === undefined) return unknown("not checked: Glance accepted no upload");
  return continues
    ? ok("Glance sends it", { continues, afterMs: Math.round(answer?.continuedAfterMs ?? 0) })
    : ok("Glance does not send it: it probably runs under uWSGI", { continues });
}

async function checkRollback(image: Image): Promise<Outcome> {
  const upload = image.begin(PART, ANNOUNCED);
  const begun = await image.untilStatus(["saving"], BEGIN_TIMEOUT_MS).finally(() => upload.cut());
  if (begun !== "saving") {
    return problem(
      `the image was ${begun}, not saving, while an upload was in progress`,
      "turn off request buffering in the server between the proxy and Glance (nginx: proxy_request_buffering off)",
    );
  }
  const cutAt = performance.now();
  const after = await image.untilStatus(["queued", "active"], ROLLBACK_TIMEOUT_MS);
  const ms = Math.round(performance.now() - cutAt);
  return after === "queued"
    ? ok(`after an aborted upload the image was queued again within ${ms} ms`, { ms })
    : problem(`after an aborted upload the image was ${after}, not queued`);
}

/** Sends a part of a body and waits. During the wait, one of Glance's workers is occupied. */
async function checkPause(image: Image): Promise<Outcome> {
  const upload = image.begin(PART, ANNOUNCED);
  const begun = await image.untilStatus(["saving"], BEGIN_TIMEOUT_MS);
  if (begun !== "saving") {
    upload.cut();
    return unknown(`not checked: the image was ${begun}, not saving, while an upload was in progress`);
  }
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), PAUSE_MS);
  });
  const endedAfterMs = await Promise.race([upload.ended, late]);
  clearTimeout(timer);
  upload.cut();
  const after = await image.untilStatus(["queued", "active"], ROLLBACK_TIMEOUT_MS);
  if (after !== "queued") return problem(`after an aborted upload the image was ${after}, not queued`);
  if (endedAfterMs === undefined)
    return ok(`an upload can pause for at least ${PAUSE_MS / 1000} s`, { atLeastMs: PAUSE_MS });
  const seconds = Math.round(endedAfterMs / 1000);
  return hint(
    `Glance ended an upload that paused for ${seconds} s`,
    "set uWSGI's socket-timeout to at least limits.idleTimeout (60 s)",
    { endedAfterMs: Math.round(endedAfterMs) },
  );
}

function unmeasuredPause(continues: boolean | undefined): Outcome {
  return continues
    ? unknown("not checked: only uWSGI is known to end an upload that pauses for a few seconds")
    : unknown("not checked: Glance accepted no upload");
}

async function onImage(glance: GlanceClient, act: (image: Image) => Promise<Outcome>): Promise<Outcome> {
  try {
    return await withDisposableImage(glance, act);
  } catch (error) {
    const { message } = error as Error;
    return error instanceof NotAllowed
      ? problem(`${message}: the token is not allowed to create images, or has expired`, "give another token")
      : problem(message);
  }
}
