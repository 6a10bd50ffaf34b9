/** Checks of the HTTP server that runs Glance. They need no token. */
import { type CheckResult, hint, ok, type Outcome, unknown } from "./check.js";
import type { GlanceAnswer, GlanceClient } from "./glance-client.js";

/** @param answer the answer to `GET /versions`. */
export async function checkConnection(glance: GlanceClient, answer: GlanceAnswer): Promise<CheckResult[]> {
  return [
    { check: "server", ...checkServer(answer) },
    { check: "keep-alive", ...(await checkKeepAlive(glance)) },
    { check: "answer length", ...checkLength(answer) },
  ];
}

function checkServer({ headers }: GlanceAnswer): Outcome {
  const server = [headers["server"] ?? ""].flat().join(", ");
  return server === ""
    ? ok("no Server header; uWSGI and Glance's own server do not send one")
    : ok(server, { server });
}

async function checkKeepAlive(glance: GlanceClient): Promise<Outcome> {
  try {
    const keepsAlive = await glance.keepsConnections();
    return ok(
      keepsAlive ? "Glance keeps connections open" : "Glance closes the connection after each answer",
      { keepsAlive },
    );
  } catch (error) {
    return unknown((error as Error).message);
  }
}

function checkLength({ headers }: GlanceAnswer): Outcome {
  if (headers["content-length"] !== undefined)
    return ok("answers have Content-Length", { framing: "content-length" });
  if (headers["transfer-encoding"] !== undefined) return ok("answers are chunked", { framing: "chunked" });
  return hint(
    "answers have no Content-Length and end when the connection closes, so a truncated download can look complete",
    "let clients verify checksums, as glanceclient and openstacksdk do",
    { framing: "close" },
  );
}
