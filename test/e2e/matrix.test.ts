/** Whatever a client does, Glance sees exactly the declared bytes, or a request that never ends. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { connect, type Peer, type RawResponse } from "../support/raw-http.js";
import {
  accept,
  answerEarly,
  type RecordingUpstream,
  resetAtFirstByte,
  startRecordingUpstream,
} from "../support/recording-upstream.js";

const SIZE = 100_000;
const CASES = [
  "exact",
  "one over",
  "one short",
  "zero",
  "disconnect",
  "upstream reset",
  "upstream answers early",
] as const;
const FRAMINGS = ["Content-Length", "chunked", "chunked with header"] as const;
type Case = (typeof CASES)[number];
type Framing = (typeof FRAMINGS)[number];

/** What becomes of a body whose size nobody announced; of the others nothing else may become. */
const POLICIES = ["forward", "spool"] as const;
type Policy = (typeof POLICIES)[number];

let upstream: RecordingUpstream;
let proxies: Record<Policy, TestProxy>;
beforeAll(async () => {
  upstream = await startRecordingUpstream();
  proxies = {
    forward: await startProxy(upstream.url),
    // With the least memory, so that the file has its part.
    spool: await startProxy(upstream.url, { size: { unknown: "spool" }, spool: { memory: "32KiB" } }),
  };
});
afterAll(async () => {
  for (const proxy of Object.values(proxies)) proxy.stop();
  await upstream.stop();
});
beforeEach(() => {
  upstream.requests.length = 0;
  upstream.onUpload = accept;
});

function bodySize(which: Case): number {
  switch (which) {
    case "one over":
      return SIZE + 1;
    case "one short":
    case "disconnect":
      return SIZE - 1;
    case "zero":
      return 0;
    default:
      return SIZE;
  }
}

let images = 0;

async function upload(peer: Peer, which: Case, framing: Framing, expectation: boolean, operation: string) {
  const declared = which === "zero" ? 0 : SIZE;
  // Another image each time: one after a broken connection might be taken for the rest of it.
  peer.sendHead("PUT", `/v2/images/image-${(images += 1)}/${operation}`, {
    "Content-Type": "application/octet-stream",
    ...(framing === "Content-Length" ? { "Content-Length": declared } : { "Transfer-Encoding": "chunked" }),
    ...(framing === "chunked with header" ? { "x-openstack-image-size": declared } : {}),
    ...(expectation ? { Expect: "100-continue" } : {}),
  });
  if (expectation && which !== "upstream answers early") expect((await peer.interim()).status).toBe(100);
  const body = Buffer.alloc(bodySize(which), "x");
  if (framing === "Content-Length") peer.send(body);
  else for (let at = 0; at < body.length; at += 30_000) peer.sendChunk(body.subarray(at, at + 30_000));
  if (which === "disconnect") peer.destroy();
  else if (which === "one short" && framing === "Content-Length") peer.end();
  else if (framing !== "Content-Length") peer.endChunks();
}

/** What the client reads: a status and, for a refusal, what it has to say. Undefined: nobody is left to read. */
function expected(which: Case, framing: Framing): { status: number; text?: string } | undefined {
  const declared = framing !== "chunked";
  switch (which) {
    case "exact":
    case "zero":
      return { status: 204 };
    case "one over":
      // Node cuts a Content-Length body at its length: what follows is another (broken) request.
      if (framing === "Content-Length") return { status: 204 };
      return declared
        ? { status: 400, text: `Size exceeds: expected ${SIZE} bytes, got ${SIZE + 1} bytes` }
        : { status: 204 };
    case "one short":
      if (framing === "Content-Length") return undefined;
      return declared
        ? { status: 400, text: `Size mismatch: expected ${SIZE} bytes, got ${SIZE - 1} bytes` }
        : { status: 204 };
    case "disconnect":
      return undefined;
    case "upstream reset":
      return { status: 502 };
    case "upstream answers early":
      return { status: 409, text: "no" };
  }
}

function outcome(which: Case, framing: Framing): string {
  const answer = expected(which, framing);
  switch (which) {
    case "upstream reset":
      return "upstream_error";
    case "upstream answers early":
      return "upstream_rejected";
    default:
      if (answer === undefined) return "client_aborted";
      if (answer.status === 204) return "completed";
      return which === "one over" ? "size_exceeded" : "size_mismatch";
  }
}

function sizeSource(which: Case, framing: Framing, policy: Policy): string {
  if (framing === "Content-Length") return "content_length";
  if (framing === "chunked with header") return "header";
  // A body that broke off never had a size.
  return policy === "spool" && which !== "disconnect" ? "spooled" : "unknown";
}

describe.each(
  POLICIES.flatMap((policy) => ["file", "stage"].map((operation) => [policy, operation] as const)),
)("%s, %s", (policy, operation) => {
  describe.each(FRAMINGS)("%s", (framing) => {
    describe.each([
      ["with Expect", true],
      ["without Expect", false],
    ])("%s", (_, expectation) => {
      it.each(CASES)("%s", async (which) => {
        if (which === "upstream reset") upstream.onUpload = resetAtFirstByte;
        if (which === "upstream answers early") upstream.onUpload = answerEarly(409, "no");
        const proxy = proxies[policy];
        const source = sizeSource(which, framing, policy);
        const label = `operation="${operation}",outcome="${outcome(which, framing)}",size_source="${source}"`;
        const before = await proxy.metric(`uploads_total{${label}}`);
        const peer = await connect(proxy.port);
        let answer: RawResponse | undefined;
        try {
          await upload(peer, which, framing, expectation, operation);
          const wanted = expected(which, framing);
          if (wanted) {
            answer = await peer.response();
            expect(answer.status).toBe(wanted.status);
            if (wanted.text !== undefined) expect(answer.text).toContain(wanted.text);
          }
        } finally {
          peer.destroy();
        }

        const [seen, ...more] = upstream.uploads;
        expect(more).toEqual([]);
        await seen?.over;
        const whole = expected(which, framing)?.status === 204;
        if (seen) {
          // Glance has the body at once, and may have read all of it when it refuses.
          if (which !== "upstream answers early") expect(seen.complete).toBe(whole);
          if (whole)
            expect(seen.bytes).toBe(
              framing === "Content-Length" && which === "one over" ? SIZE : bodySize(which),
            );
          else expect(seen.bytes).toBeLessThan(seen.complete ? SIZE + 1 : SIZE);
          if (source === "unknown") expect(seen.headers["x-openstack-image-size"]).toBeUndefined();
          else {
            const declared = source === "spooled" ? bodySize(which) : which === "zero" ? 0 : SIZE;
            expect(seen.headers["content-length"]).toBe(String(declared));
            expect(seen.headers["x-openstack-image-size"]).toBe(String(declared));
            expect(seen.headers["transfer-encoding"]).toBeUndefined();
          }
        } else {
          expect(whole).toBe(false);
        }
        await expect.poll(() => proxy.metric(`uploads_total{${label}}`)).toBe(before + 1);
      });
    });
  });
});
