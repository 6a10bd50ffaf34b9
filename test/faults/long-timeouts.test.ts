/** As configured for real, timeouts take minutes or hours: nothing that is over may wait for one. */
import { describe, expect, it } from "vitest";
import { ClientUpload, type Reading } from "./client-upload.js";
import { type FaultScene, useFaultScenes } from "./fault-scene.js";
import { type Act, answerOf, CONTINUE, NO_CONTENT, showImage, type Stage } from "./scripted-glance.js";

/** Far less than any of the timeouts. */
const SOON_MS = 2_000;
/** Two chunks, as a body of unknown size is sent to Glance. */
const SIZE = 128 * 1024;
const BIG_SIZE = 12 * 1024 * 1024;

const scenes = useFaultScenes({ config: {} });

interface Ending {
  readonly name: string;
  readonly method?: "POST";
  readonly at: Stage;
  readonly act: Act;
  readonly size?: number;
  /** After Glance has acted. */
  readonly then?: (upload: ClientUpload, scene: FaultScene) => Promise<void> | void;
  readonly reads?: Reading;
}

const wait: Act = () => undefined;
const stopReading: Act = (connection) => {
  connection.socket.pause();
  connection.send(CONTINUE);
};

/** Glance's end comes when nothing moves any more. */
async function resetAtStandstill({ proxy, glance }: FaultScene): Promise<void> {
  await proxy.standstill();
  glance.connections[0]?.socket.resetAndDestroy();
}

const ENDINGS: readonly Ending[] = [
  { name: "an upload is whole", at: "whole", act: (connection) => connection.send(NO_CONTENT), reads: 204 },
  {
    name: "an upload is refused",
    at: "body",
    act: (connection) => connection.send(answerOf(409, "x")),
    reads: 409,
  },
  { name: "an upload is cut by Glance", at: "body", act: ({ socket }) => socket.end(), reads: 502 },
  {
    name: "an upload whose Glance reads no more is reset by it",
    at: "head",
    act: stopReading,
    size: BIG_SIZE,
    async then(upload, scene) {
      upload.sendAllButTheEnd();
      await resetAtStandstill(scene);
    },
    reads: 502,
  },
  { name: "the client leaves within its body", at: "body", act: wait, then: ({ peer }) => peer.destroy() },
  {
    name: "a request is answered",
    method: "POST",
    at: "whole",
    act: (connection) => connection.send(answerOf(200, "x")),
    reads: 200,
  },
  {
    name: "a request is answered early",
    method: "POST",
    at: "body",
    act: (connection) => connection.send(answerOf(409, "x")),
    reads: 409,
  },
  {
    name: "a request is cut by Glance",
    method: "POST",
    at: "body",
    act: ({ socket }) => socket.end(),
    reads: 502,
  },
  {
    name: "the client leaves within a request",
    method: "POST",
    at: "body",
    act: wait,
    then: ({ peer }) => peer.destroy(),
  },
];

describe("no timer and no socket outlives it when", () => {
  it.each(ENDINGS.map((ending) => [ending.name, ending] as const))("%s", (_, ending) =>
    scenes.run(async (scene) => {
      const { method, at, act, size = SIZE, then, reads } = ending;
      scene.glance.play({ at, act, size });
      const peer = await scene.connect();
      const upload = new ClientUpload(peer, {
        framing: "chunked with header",
        target: "/v2/images/one/file",
        size,
      });
      if (method) peer.sendHead(method, "/v2/tasks", upload.headers);
      else upload.sendHead();
      if (at === "whole") upload.finish();
      else upload.sendHalf();
      await scene.glance.acted();
      await then?.(upload, scene);
      if (reads !== undefined) expect(await upload.reading()).toBe(reads);
      await scene.expectConnectionsEnded("both");
      await scene.glance.readToTheEnd();
      await scenes.nothingLeft(SOON_MS);
    }),
  );

  it("an upload is rolled back, having taken from the client all that it sent meanwhile", () =>
    scenes.run(async (scene) => {
      let image = "saving";
      scene.glance.play({
        at: "head",
        act: stopReading,
        size: BIG_SIZE,
        lookUp: { at: "whole", act: (connection) => showImage(image)(connection) },
      });
      const peer = await scene.connect();
      const upload = new ClientUpload(peer, {
        framing: "chunked with header",
        target: "/v2/images/one/file",
        size: BIG_SIZE,
      });
      upload.sendHead().finishInVain();
      await resetAtStandstill(scene);
      // Glance's end comes while the proxy does not read: the client's bytes have nowhere to go but away.
      await peer.flushed();
      expect(peer.unread).toHaveLength(0);
      image = "queued";
      expect(await upload.reading()).toBe(502);
      await scene.expectConnectionsEnded("both");
      await scenes.nothingLeft(SOON_MS);
    }));
});

scenes.expectNothingLeft();
