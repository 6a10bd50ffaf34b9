/** Requests that are no uploads, and everything that can happen to them: an answer or an end, and nothing left behind. */
import { describe, expect, it } from "vitest";
import { ClientUpload, type Framing, type Reading } from "./client-upload.js";
import { eventually } from "./eventually.js";
import { dribble, type FaultScene, increase, readSamples, useFaultScenes } from "./fault-scene.js";
import { type Act, answerOf, type Stage } from "./scripted-glance.js";

/** Two chunks, as a body of unknown size is sent to Glance. */
const SIZE = 128 * 1024;
/** More than the kernel and the proxy take in while nobody reads. */
const BIG_SIZE = 12 * 1024 * 1024;

const WHOLE = answerOf(200, "x".repeat(100));
const CONFLICT = answerOf(409, "in use");
const chunkedThen = (rest: string) =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n${rest}`;

interface Fault {
  readonly name: string;
  readonly act: Act;
  /** What it does when the client has read something. */
  readonly whenRead?: Act;
  /** Any of them. */
  readonly reads: readonly Reading[];
}

/** What Glance does to any request. */
const FAULTS: readonly Fault[] = [
  { name: "closes", act: ({ socket }) => socket.end(), reads: [502] },
  { name: "resets", act: ({ socket }) => socket.resetAndDestroy(), reads: [502] },
  { name: "answers rubbish", act: (connection) => connection.send("SSH-2.0\r\n"), reads: [502] },
  {
    name: "switches protocols",
    act: (connection) =>
      connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
    reads: [502],
  },
  {
    name: "answers an invalid status",
    act: (connection) => connection.send(CONFLICT.replace("409", "042")),
    reads: [502],
  },
  {
    name: "answers a reason phrase with control bytes",
    act: (connection) => connection.send(WHOLE.replace("Scripted", "Scrip\x01ted")),
    reads: [502],
  },
  {
    name: "answers in a transfer coding that the proxy does not decode",
    act: (connection) =>
      connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
    reads: [502],
  },
  { name: "refuses", act: (connection) => connection.send(CONFLICT), reads: [409] },
  // Closing with unread bytes resets the connection: the answer may be lost.
  {
    name: "refuses and closes",
    act: ({ socket }) => socket.end(CONFLICT, () => socket.destroy()),
    reads: [409, 502],
  },
];

/** What it does to a download. */
const DOWNLOAD_FAULTS: readonly Fault[] = [
  ...FAULTS,
  { name: "says nothing", act: () => undefined, reads: [504] },
  { name: "reads nothing", act: ({ socket }) => socket.pause(), reads: [504] },
  { name: "answers a few bytes at a time", act: (connection) => connection.dribble(WHOLE), reads: [200] },
  {
    name: "closes within its answer",
    act: ({ socket }) => socket.end(WHOLE.slice(0, -9)),
    reads: ["cut answer"],
  },
  {
    name: "resets within its answer",
    act: (connection) => connection.send(WHOLE.slice(0, -9)),
    whenRead: ({ socket }) => socket.resetAndDestroy(),
    reads: ["cut answer"],
  },
  {
    name: "falls silent within its answer",
    act: (connection) => connection.send(WHOLE.slice(0, -9)),
    reads: ["cut answer"],
  },
  {
    name: "answers without its last chunk",
    act: ({ socket }) => socket.end(chunkedThen("")),
    reads: ["cut answer"],
  },
  {
    name: "answers rubbish in its chunks",
    act: (connection) => connection.send(chunkedThen("zz\r\n")),
    reads: ["cut answer", 502], // 502 if all of it arrives together
  },
];

const scenes = useFaultScenes();

/** Runs one request, and checks that it is counted once. */
function runRequest(act: (scene: FaultScene) => Promise<void>): Promise<void> {
  return scenes.run(async (scene) => {
    const before = await readSamples(scene);
    await act(scene);
    await scene.expectConnectionsEnded("both");
    expect(increase("requests_total", before, await readSamples(scene))).toBe(1);
  });
}

const CLIENT_ENDS = [
  ["closes", ({ peer }: ClientUpload) => peer.destroy()],
  ["resets", ({ peer }: ClientUpload) => peer.reset()],
  ["half-closes", ({ peer }: ClientUpload) => void peer.end()],
] as const;

/** Not an upload by its method; the class sends any body in any framing. */
async function begin(
  scene: FaultScene,
  framing: Framing = "Content-Length",
  size = 0,
): Promise<ClientUpload> {
  return new ClientUpload(await scene.connect(), { framing, size, target: "/v2/images/one/file" });
}

describe("a download", () => {
  it.concurrent.each(
    DOWNLOAD_FAULTS.flatMap((fault) =>
      (["accepted", "whole"] as const).map((stage) => [fault.name, stage, fault] as const),
    ),
  )("when Glance %s (%s)", (_, stage, fault) =>
    runRequest(async (scene) => {
      scene.glance.play({ at: stage, act: fault.act, size: 0 });
      const download = await begin(scene);
      download.peer.sendHead("GET", "/v2/images/one/file");
      if (fault.whenRead) {
        await eventually(() => download.peer.unread.length > 0, "the answer's beginning");
        for (const connection of scene.glance.connections) fault.whenRead(connection);
      }
      expect(fault.reads).toContain(await download.reading());
      await scene.expectConnectionsEnded("glance");
    }),
  );

  it.concurrent("when Glance refuses the connection", () =>
    runRequest(async (scene) => {
      await scene.glance.refuse();
      const download = await begin(scene);
      download.peer.sendHead("GET", "/v2/images/one/file");
      expect(await download.reading()).toBe(502);
      await scene.glance.listen();
    }),
  );

  it.concurrent.each(CLIENT_ENDS)("when the client %s before the answer", (_, act) =>
    runRequest(async (scene) => {
      scene.glance.play({ at: "whole", act: () => undefined, size: 0 });
      const download = await begin(scene);
      download.peer.sendHead("GET", "/v2/images/one/file");
      await scene.glance.acted();
      act(download);
      await scene.expectConnectionsEnded("glance");
    }),
  );

  it.concurrent.each(CLIENT_ENDS)("when the client %s within the answer", (_, act) =>
    runRequest(async (scene) => {
      scene.glance.play({
        at: "whole",
        act: (connection) => connection.send(WHOLE.slice(0, -9)),
        size: 0,
      });
      const download = await begin(scene);
      download.peer.sendHead("GET", "/v2/images/one/file");
      await eventually(() => download.peer.unread.includes("xx"), "the answer's beginning");
      act(download);
      await scene.expectConnectionsEnded("glance");
    }),
  );

  it.concurrent.each(CLIENT_ENDS.slice(0, 2))("when the client %s, having read nothing", (_, act) =>
    runRequest(async (scene) => {
      scene.glance.play({
        at: "whole",
        act: (connection) => connection.send(answerOf(200, "x".repeat(BIG_SIZE))),
        size: 0,
      });
      const download = await begin(scene);
      download.peer.pause().sendHead("GET", "/v2/images/one/file");
      await scene.glance.acted();
      act(download);
      await scene.expectConnectionsEnded("glance");
    }),
  );
});

it.each(["GET", "POST"])(
  "an answer to %s that takes longer than any timeout arrives whole, and the connection is kept",
  (method) =>
    scenes.run(async (scene) => {
      const errors = async (): Promise<number> =>
        increase("upstream_errors_total", new Map(), await readSamples(scene));
      const before = await errors();
      scene.glance.play({
        at: "whole",
        act(connection) {
          connection.send(answerOf(200, "x".repeat(10)).slice(0, -10));
          let pieces = 0;
          // Each pause is shorter than a timeout, all of them together are longer than two.
          const timer = setInterval(() => {
            connection.send("x");
            if ((pieces += 1) === 10) clearInterval(timer);
          }, 100);
        },
        size: 4,
      });
      const exchange = await begin(scene, "Content-Length", 4);
      exchange.peer.sendHead(method, "/v2/images/one/file", method === "POST" ? exchange.headers : {});
      if (method === "POST") exchange.finish();
      expect(await exchange.reading()).toBe(200);
      await scene.expectConnectionsEnded("glance");
      expect(await errors()).toBe(before);

      scene.glance.play({ at: "whole", act: (connection) => connection.send(WHOLE), size: 0 });
      exchange.peer.sendHead("GET", "/v2/images/one/file");
      expect(await exchange.reading()).toBe(200);
    }),
);

it("a download that the client does not read ends after limits.idleTimeout", () =>
  runRequest(async (scene) => {
    scene.glance.play({
      at: "whole",
      act: (connection) => connection.send(answerOf(200, "x".repeat(BIG_SIZE))),
      size: 0,
    });
    const download = await begin(scene);
    download.peer.pause().sendHead("GET", "/v2/images/one/file");
    await scene.expectConnectionsEnded("glance");
    await scene.expectClientsGone();
  }));

describe("a request with a body", () => {
  const STAGES = ["accepted", "head", "body", "whole"] as const satisfies readonly Stage[];
  const FRAMINGS = ["Content-Length", "chunked"] as const;

  it.concurrent.each(
    FAULTS.flatMap((fault) =>
      STAGES.flatMap((stage) => FRAMINGS.map((framing) => [fault.name, stage, framing, fault] as const)),
    ),
  )("when Glance %s (%s, %s)", (_, stage, framing, fault) =>
    runRequest(async (scene) => {
      scene.glance.play({ at: stage, act: fault.act, size: SIZE });
      const post = await begin(scene, framing, SIZE);
      post.peer.sendHead("POST", "/v2/tasks", post.headers);
      if (stage === "whole") post.finish();
      else post.sendHalf();
      expect(fault.reads).toContain(await post.reading());
      await scene.expectConnectionsEnded("glance");
      post.finishInVain();
    }),
  );

  it.concurrent.each(FRAMINGS)("when Glance says nothing (%s)", (framing) =>
    runRequest(async (scene) => {
      scene.glance.play({ at: "head", act: () => undefined, size: SIZE });
      const post = await begin(scene, framing, SIZE);
      post.peer.sendHead("POST", "/v2/tasks", post.headers);
      post.finish();
      expect(await post.reading()).toBe(504);
      await scene.expectConnectionsEnded("glance");
    }),
  );

  it.concurrent.each(FRAMINGS)("when Glance reads nothing of it (%s)", (framing) =>
    runRequest(async (scene) => {
      scene.glance.play({ at: "accepted", act: ({ socket }) => socket.pause(), size: BIG_SIZE });
      const post = await begin(scene, framing, BIG_SIZE);
      post.peer.sendHead("POST", "/v2/tasks", post.headers);
      post.finish();
      expect(await post.reading()).toBe(504);
      await scene.expectConnectionsEnded("glance");
    }),
  );

  it.concurrent.each(
    [
      ...CLIENT_ENDS,
      ["sends a malformed chunk", (upload: ClientUpload) => void upload.peer.send("zz\r\n")] as const,
    ].flatMap(([name, act]) =>
      FRAMINGS.filter((framing) => framing === "chunked" || !name.includes("chunk")).map(
        (framing) => [name, framing, act] as const,
      ),
    ),
  )("when the client %s within it (%s)", (_, framing, act) =>
    runRequest(async (scene) => {
      scene.glance.play({ at: "body", act: () => undefined, size: SIZE });
      const post = await begin(scene, framing, SIZE);
      post.peer.sendHead("POST", "/v2/tasks", post.headers);
      post.sendHalf();
      await scene.glance.acted();
      act(post);
      await scene.expectConnectionsEnded("glance");
      expect(scene.glance.connections[0]?.received.complete).toBe(false);
    }),
  );

  it.concurrent.each(FRAMINGS)("when the client falls silent within it (%s)", (framing) =>
    runRequest(async (scene) => {
      scene.glance.play({ at: "body", act: () => undefined, size: SIZE });
      const post = await begin(scene, framing, SIZE);
      post.peer.sendHead("POST", "/v2/tasks", post.headers);
      post.sendHalf();
      expect(await post.reading()).toBe(408);
      await scene.expectConnectionsEnded("glance");
      expect(scene.glance.connections[0]?.received.complete).toBe(false);
      post.finishInVain();
      expect(await post.peer.closed()).toBe("fin");
    }),
  );

  it.concurrent.each(FRAMINGS)("when the client ends it byte by byte (%s)", (framing) =>
    runRequest(async (scene) => {
      scene.glance.play({ at: "whole", act: (connection) => connection.send(WHOLE), size: SIZE });
      const post = await begin(scene, framing, SIZE);
      post.peer.sendHead("POST", "/v2/tasks", post.headers);
      post.sendAllButTheEnd();
      await dribble(post.peer, post.end);
      expect(await post.reading()).toBe(200);
    }),
  );
});

scenes.expectNothingLeft();
