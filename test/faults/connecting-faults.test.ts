/** No connection to Glance opens: the upload ends all the same, also if the client does not wait for that. */
import { afterAll, describe, expect, it } from "vitest";
import { type HangingListener, startHangingListener } from "../support/hanging-listener.js";
import { ClientUpload, type Framing, FRAMINGS, type Reading } from "./client-upload.js";
import { type FaultScene, type SettledUpload, useFaultScenes } from "./fault-scene.js";

let listener: Promise<HangingListener> | undefined;
afterAll(async () => (await listener)?.stop());

const scenes = useFaultScenes({
  upstreamUrl: async () => (await (listener ??= startHangingListener())).url,
});

interface Client {
  readonly name: string;
  readonly act: (upload: ClientUpload) => void;
  readonly reads?: Reading;
}

const CLIENTS: readonly Client[] = [
  { name: "sends on", act: (upload) => void upload.finishInVain(), reads: 504 },
  { name: "falls silent", act: () => undefined, reads: 504 },
  { name: "closes", act: ({ peer }) => peer.destroy() },
  { name: "resets", act: ({ peer }) => peer.reset() },
  { name: "half-closes", act: ({ peer }) => void peer.end() },
];

const COMBINATIONS = CLIENTS.flatMap((client) => FRAMINGS.map((framing) => ({ client, framing })));

describe("while the connection to Glance does not open, a client", () => {
  it.concurrent.each(COMBINATIONS.map((one) => [`${one.client.name} (${one.framing})`, one] as const))(
    "that %s",
    (_, { client, framing }) => scenes.runUpload((scene) => play(scene, client, framing)),
  );
});

let images = 0;

async function play(scene: FaultScene, client: Client, framing: Framing): Promise<SettledUpload> {
  const imageId = `image-${(images += 1)}`;
  const peer = await scene.connect();
  const upload = new ClientUpload(peer, { framing, size: 16, target: `/v2/images/${imageId}/file` });
  upload.sendHead().sendHalf();
  await peer.flushed();
  client.act(upload);
  if (client.reads !== undefined) expect(await upload.reading()).toBe(client.reads);
  return {
    upload,
    imageId,
    operation: "file",
    outcomes: [client.reads === undefined ? "client_aborted" : "upstream_error"],
    sizeSource: upload.sizeSource,
  };
}

scenes.expectNothingLeft();
