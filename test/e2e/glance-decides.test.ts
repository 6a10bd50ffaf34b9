/**
 * A Glance that is slow, and says nothing until it decides (under uWSGI it never says `100`): its refusal wins over the proxy's own, and
 * only what this upload can have caused is called so.
 */
import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import type { Peer } from "../support/raw-http.js";
import { CHUNKED, FILE, SIZE, useScene } from "./scene.js";

const limits = { idleTimeout: "300ms" };
const scene = useScene({ rollback: { timeout: "2s", interval: "10ms" }, limits });
const MEGABYTE = Buffer.alloc(1_000_000);
/** For a Glance of which nothing is seen. */
const IMPATIENT = { rollback: { timeout: "500ms", interval: "10ms" }, limits };

/** How the proxy comes to refuse, with a body that is no longer whole for Glance. */
const refusals: [string, (peer: Peer) => void | Promise<void>, number][] = [
  ["too long", (peer) => void peer.sendChunk("hello!").endChunks(), 400],
  ["too short", (peer) => void peer.sendChunk("hell").endChunks(), 400],
  [
    "malformed",
    async (peer) => {
      peer.sendChunk("hell");
      await scene.uploadUpstream(); // one that is not HTTP from its beginning is not for Glance to decide
      peer.send("zz\r\n");
    },
    400,
  ],
  ["stalled", (peer) => void peer.sendChunk("hell"), 408],
];

/** Glance answers only when the proxy is already about to refuse and looks at the image for the second time. It has read the body or not. */
function decidesLate(status: number, reads: boolean): void {
  let answer: ServerResponse | undefined;
  let looks = 0;
  scene.upstream.onUpload = (incoming, response) => {
    answer = response;
    if (reads) incoming.resume();
    else incoming.pause();
  };
  scene.upstream.onLookUp = () => {
    looks += 1;
    if (looks === 2) answer?.writeHead(status, { "content-type": "text/plain" }).end("Glance's word");
  };
}

function show(image: { status: string; size?: number | null } | number): void {
  scene.upstream.answerLookUp = (response: ServerResponse) => {
    if (typeof image === "number") response.writeHead(image).end();
    else response.end(JSON.stringify({ size: null, ...image }));
  };
}

const rollbacks = async (proxy = scene.proxy): Promise<Record<string, number>> =>
  Object.fromEntries(
    await Promise.all(
      ["queued", "timeout", "active", "unknown"].map(
        async (result) => [result, await proxy.metric(`rollbacks_total{result="${result}"}`)] as const,
      ),
    ),
  );
const NONE = { queued: 0, timeout: 0, active: 0, unknown: 0 };

describe.each(refusals)("a body that is %s", (_, send) => {
  it.each([401, 403, 404, 409, 413, 415, 500, 503])("a late %i of Glance's wins", async (status) => {
    decidesLate(status, status !== 409);
    // What made Glance refuse shows in the image, too.
    show(status === 404 ? 404 : status === 401 ? 401 : { status: status === 409 ? "active" : "queued" });
    const peer = await scene.startUpload({ [SIZE]: 5 });
    await send(peer);
    expect(await peer.response()).toMatchObject({ status, text: "Glance's word" });
    expect(await rollbacks()).toEqual(NONE);
    expect(scene.proxy.logged.filter(({ level }) => level === "error")).toEqual([]);
    const outcomes = scene.proxy.logged.filter(({ msg }) => msg === "upload").map(({ outcome }) => outcome);
    await expect.poll(() => outcomes).toEqual(["upstream_rejected"]);
  });
});

describe.each(refusals)("a body that is %s, with a Glance that says nothing at all", (_, send, status) => {
  it("and an image that was active before, is refused without an error in the log", async () => {
    scene.upstream.onUpload = (incoming) => void incoming.resume();
    show({ status: "active", size: 5 });
    const impatient = await scene.startAnother(IMPATIENT);
    const peer = await scene.startUpload({ [SIZE]: 5 }, FILE, impatient.port);
    await send(peer);
    const answer = await peer.response();
    expect(answer.status).toBe(status);
    expect(answer.text).not.toContain("active");
    expect(await rollbacks(impatient)).toEqual(NONE);
  });

  it("and an image that stays queued, is reported as unknown to the client", async () => {
    scene.upstream.onUpload = (incoming) => void incoming.resume();
    show({ status: "queued" });
    const impatient = await scene.startAnother(IMPATIENT);
    const peer = await scene.startUpload({ [SIZE]: 5 }, FILE, impatient.port);
    await send(peer);
    const answer = await peer.response();
    expect([answer.status, answer.text]).toEqual([
      status,
      expect.stringContaining("did not see Glance start"),
    ]);
    expect(await rollbacks(impatient)).toEqual({ ...NONE, unknown: 1 });
  });

  it("and an image that shows the start, is rolled back", async () => {
    let cut = false;
    scene.upstream.onUpload = (incoming, response) => {
      incoming.resume();
      response.once("close", () => (cut = true));
    };
    scene.upstream.answerLookUp = (response) => {
      response.end(JSON.stringify({ status: cut ? "queued" : "saving", size: null }));
    };
    const peer = await scene.startUpload({ [SIZE]: 5 });
    await send(peer);
    const answer = await peer.response();
    expect(answer.status).toBe(status);
    expect(answer.text).not.toContain("(");
    expect(await rollbacks()).toEqual({ ...NONE, queued: 1 });
  });
});

it("a Glance that begins late is waited for, and then for as long again to put the image back", async () => {
  let cut = false;
  let begun = false;
  // Both times together are longer than rollback.timeout.
  setTimeout(() => (begun = true), 1_500);
  scene.upstream.onUpload = (incoming, response) => {
    incoming.resume();
    response.once("close", () => setTimeout(() => (cut = true), 1_000));
  };
  scene.upstream.answerLookUp = (response) => {
    response.end(JSON.stringify({ status: begun && !cut ? "saving" : "queued", size: null }));
  };
  const peer = await scene.startUpload({ [SIZE]: 5 });
  peer.sendChunk("hello!").endChunks();
  const answer = await peer.response();
  expect([answer.status, answer.text]).toEqual([400, expect.not.stringContaining("(")]);
  expect(await rollbacks()).toEqual({ ...NONE, queued: 1 });
});

describe("a token that ends during the upload", () => {
  it("does not shorten the wait, and is reported", async () => {
    let looks = 0;
    scene.upstream.onUpload = (incoming, response) => {
      response.writeContinue();
      incoming.resume();
    };
    scene.upstream.answerLookUp = (response) => {
      looks += 1;
      response.writeHead(401).end();
    };
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("hell");
    await scene.uploadUpstream();
    const startedAt = performance.now();
    peer.sendChunk("o!").endChunks();
    const answer = await peer.response();
    expect(performance.now() - startedAt).toBeGreaterThan(1_900);
    expect([answer.status, answer.text]).toEqual([400, expect.stringContaining("could not check whether")]);
    expect(looks).toBeGreaterThan(1);
    expect(await rollbacks()).toEqual({ ...NONE, unknown: 1 });
    expect(scene.proxy.logged).toContainEqual(
      expect.objectContaining({ level: "error", msg: "image not rolled back", rollback: "unknown" }),
    );
  });
});

describe("an upload that was well on its way", () => {
  it.each([401, 403, 409, 413])(
    "%i in the middle of its body reaches the client, bytes unread",
    async (status) => {
      scene.upstream.onUpload = (incoming, response) => {
        let bytes = 0;
        incoming.on("data", (piece: Buffer) => {
          bytes += piece.length;
          if (bytes < 3_000_000 || incoming.isPaused()) return;
          incoming.pause();
          response.writeHead(status, { "content-length": 5, connection: "close" });
          response.end("quota", () => incoming.socket.destroy());
        });
      };
      for (const headers of [{ [SIZE]: 12_000_000 }, {}]) {
        for (let run = 0; run < 20; run += 1) {
          const peer = await scene.connect();
          peer.sendHead("PUT", FILE, { ...CHUNKED, ...headers });
          const sending = (async () => {
            for (let sent = 0; sent < 12 && peer.socket.writable; sent += 1) {
              peer.sendChunk(MEGABYTE);
              await peer.flushed();
            }
            peer.endChunks();
          })();
          const answer = await peer.response();
          expect([answer.status, answer.text]).toEqual([status, "quota"]);
          await sending;
          peer.destroy();
        }
      }
      expect(await scene.proxy.metric('upstream_errors_total{kind="reset"}')).toBe(0);
    },
  );
});
