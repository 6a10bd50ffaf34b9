/** Whatever becomes of the look-ups of an aborted upload's image, the client is told of the abort, in bounded time. */
import { describe, expect, it } from "vitest";
import { ClientUpload } from "./client-upload.js";
import { type FaultScene, increase, readSamples, useFaultScenes } from "./fault-scene.js";
import { type Act, answerOf, type Script, showImage } from "./scripted-glance.js";

interface LookUp {
  readonly name: string;
  readonly act: Act;
  readonly result: string;
  /** Whether a look-up that cannot come to anything is given up, and another one made. */
  readonly again?: boolean;
  /** Whether it makes a difference that Glance has not read the request. */
  readonly unread?: boolean;
}

const QUEUED = answerOf(200, JSON.stringify({ status: "queued", size: null }));

const LOOK_UPS: readonly LookUp[] = [
  { name: "are answered: queued", act: showImage("queued"), result: "queued" },
  { name: "are answered: saving", act: showImage("saving"), result: "timeout" },
  { name: "are answered: uploading", act: showImage("uploading"), result: "timeout" },
  { name: "are answered: active", act: showImage("active"), result: "active" },
  { name: "are answered byte by byte", act: (connection) => connection.dribble(QUEUED), result: "queued" },
  { name: "are answered, then closed", act: ({ socket }) => socket.end(QUEUED), result: "queued" },
  { name: "are closed", act: ({ socket }) => socket.end(), result: "unknown", unread: true },
  { name: "are reset", act: ({ socket }) => socket.resetAndDestroy(), result: "unknown", unread: true },
  { name: "are not read", act: ({ socket }) => socket.pause(), result: "unknown", unread: true },
  { name: "are not answered", act: () => undefined, result: "unknown" },
  {
    name: "are cut within the answer",
    act: ({ socket }) => socket.end(QUEUED.slice(0, -5)),
    result: "unknown",
  },
  {
    name: "fall silent within the answer",
    act: (connection) => connection.send(QUEUED.slice(0, -5)),
    result: "unknown",
  },
  { name: "are answered rubbish", act: (connection) => connection.send("SSH-2.0\r\n"), result: "unknown" },
  {
    name: "are answered rubbish behind a head",
    act: (connection) => connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    result: "unknown",
  },
  {
    name: "are answered rubbish for JSON",
    act: (connection) => connection.send(answerOf(200, "{")),
    result: "unknown",
  },
  {
    name: "are answered without end",
    act({ socket }) {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      const timer = setInterval(() => {
        if (socket.writable) socket.write(Buffer.alloc(64 * 1024, "x"));
        else clearInterval(timer);
      }, 5);
      socket.once("close", () => clearInterval(timer));
    },
    again: true,
    result: "unknown",
  },
  { name: "are answered 404", act: (connection) => connection.send(answerOf(404, "no")), result: "unknown" },
  { name: "are answered 500", act: (connection) => connection.send(answerOf(500, "no")), result: "unknown" },
];

const COMBINATIONS = ["file", "stage"].flatMap((operation) =>
  LOOK_UPS.flatMap((lookUp) =>
    (lookUp.unread ? (["accepted", "whole"] as const) : (["whole"] as const)).map((at) => ({
      operation,
      at,
      lookUp,
    })),
  ),
);

const scenes = useFaultScenes();
let images = 0;

/** Sends one byte too many, once Glance has the upload. */
async function abort(
  scene: FaultScene,
  operation: string,
  { lookUp, result }: { lookUp?: Script["lookUp"]; result: string },
  beforeLookUp?: () => Promise<void>,
) {
  const imageId = `image-${(images += 1)}`;
  const before = await readSamples(scene);
  const begun = operation === "file" ? "saving" : "uploading";
  scene.glance.play({ at: "held back", act: () => undefined, size: 16, begun, ...(lookUp && { lookUp }) });
  const upload = new ClientUpload(await scene.connect(), {
    framing: "chunked with header",
    target: `/v2/images/${imageId}/${operation}`,
    size: 16,
  });
  upload.sendHead().sendAllButTheEnd();
  await scene.glance.acted();
  await beforeLookUp?.();
  upload.peer.sendChunk("x").endChunks();
  expect(await upload.reading()).toBe(400);
  await scene.expectConnectionsEnded("glance");
  const after = await readSamples(scene);
  expect(increase("rollbacks_total", before, after)).toBe(1);
  const sample = `rollbacks_total{result="${result}"}`;
  expect(after.get(sample)).toBe((before.get(sample) ?? 0) + 1);
  return { upload, imageId, operation, outcomes: ["size_exceeded"], sizeSource: "header" };
}

describe("the look-ups of an aborted upload's image", () => {
  it.concurrent.each(
    COMBINATIONS.map((one) => [`${one.lookUp.name} (${one.operation}, ${one.at})`, one] as const),
  )("%s", (_, { operation, at, lookUp }) =>
    scenes.runUpload(async (scene) => {
      const { result, act } = lookUp;
      const settled = await abort(scene, operation, { lookUp: { at, act }, result });
      if (lookUp.again) expect(scene.glance.connections.length).toBeGreaterThan(2);
      return settled;
    }),
  );

  it.concurrent("cannot connect to Glance", () =>
    scenes.runUpload(async (scene) => {
      const settled = await abort(scene, "file", { result: "unknown" }, () => scene.glance.refuse());
      await scene.glance.listen();
      return settled;
    }),
  );
});

scenes.expectNothingLeft();
