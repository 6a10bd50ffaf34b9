/** All checks, in order. A token is sent only after a Glance was found. */
import type { Config } from "../config/config.js";
import { type CheckResult, ok, type Outcome, problem, unknown } from "./check.js";
import { checkConnection } from "./connection-checks.js";
import { findGlance } from "./find-glance.js";
import { createGlanceClient, type GlanceAnswer, type GlanceClient } from "./glance-client.js";
import { checkStores } from "./stores.js";
import { checkUploads, UPLOAD_CHECKS } from "./upload-checks.js";

export interface ChecksOptions {
  readonly config: Pick<Config, "upstream" | "size" | "spool">;
  /** Keystone token; required if Glance uses Keystone. */
  readonly token: string | undefined;
  /** Create no test image, even with a token. */
  readonly readOnly: boolean;
}

const GIVE_TOKEN = "give --token, or set OS_TOKEN";
const MAX_CLOCK_SKEW_MS = 30_000;
const DAY_MS = 86_400_000;
/** Same threshold as the GlanceSizeProxyCertificateExpiring alert. */
const MIN_CERTIFICATE_DAYS = 14;

/** @returns all results, or only the first if there is no Glance. @throws ConfigError if a TLS file cannot be used. */
export async function runChecks(options: ChecksOptions): Promise<CheckResult[]> {
  return (await lookAt(options)).map((result) => ({ ...result, detail: onOneLine(result.detail) }));
}

async function lookAt(options: ChecksOptions): Promise<CheckResult[]> {
  const { upstream } = options.config;
  const found = await findGlance(upstream);
  if (found.found === "not glance") {
    const { what, detail, remedy } = found;
    return [{ check: "reachable", ...problem(detail, remedy), facts: { found: what } }];
  }
  const { answer, version } = found;
  const glance = createGlanceClient(upstream, options.token);
  return [
    { check: "reachable", ...ok(`Glance, image API ${version}`, { found: "glance", version }) },
    { check: "clock", ...checkClock(answer) },
    ...checkCertificate(answer),
    ...(await checkConnection(glance, answer)),
    ...(await checkImages(glance, options)),
  ];
}

async function checkImages(
  glance: GlanceClient,
  { config, token, readOnly }: ChecksOptions,
): Promise<CheckResult[]> {
  const skip = (reason: string, remedy: string): CheckResult[] =>
    UPLOAD_CHECKS.map((check) => ({ check, ...unknown(reason, remedy) }));
  if (token === undefined) {
    const wantsToken = unknown("not checked: this needs a token", GIVE_TOKEN);
    return [{ check: "stores", ...wantsToken }, ...skip("not checked: this needs a test image", GIVE_TOKEN)];
  }
  if (readOnly) {
    return [
      ...(await checkStores(glance, config, undefined)),
      ...skip("not checked: this needs a test image", "run without --read-only"),
    ];
  }
  const uploads = await checkUploads(glance);
  return [...(await checkStores(glance, config, uploads.continues)), ...uploads.results];
}

/** Removes control characters: a detail can quote another server, and is written to a terminal. */
function onOneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, " ").slice(0, 300);
}

function checkClock({ headers }: GlanceAnswer): Outcome {
  const theirs = Date.parse(headers.date ?? "");
  if (Number.isNaN(theirs)) return unknown("Glance's answers have no Date header");
  const skewMs = Math.abs(Date.now() - theirs);
  const detail = `the clocks of this machine and Glance differ by ${Math.round(skewMs / 1000)} s`;
  return skewMs > MAX_CLOCK_SKEW_MS
    ? problem(`${detail}, so tokens and certificates may be refused`, "synchronize both clocks with NTP")
    : ok(detail, { skewMs });
}

/** @returns no result without TLS. The validity of the certificate was checked when the connection opened. */
function checkCertificate({ certificateEnds }: GlanceAnswer): CheckResult[] {
  if (certificateEnds === undefined) return [];
  const days = Math.floor((certificateEnds.getTime() - Date.now()) / DAY_MS);
  const detail = `Glance's certificate expires on ${certificateEnds.toISOString().slice(0, 10)}, in ${days} days`;
  const outcome =
    days < MIN_CERTIFICATE_DAYS ? problem(detail, "renew the certificate") : ok(detail, { days });
  return [{ check: "certificate", ...outcome }];
}
