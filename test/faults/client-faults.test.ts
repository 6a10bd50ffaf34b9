/** Whatever a client does in the middle of its upload: one end to it, and no image of half a body. */
import { describe, expect, it } from "vitest";
import { requestHead } from "../support/raw-http.js";
import { ClientUpload, type Framing, FRAMINGS, type Reading } from "./client-upload.js";
import { eventually } from "./eventually.js";
import { dribble, type FaultScene, type SettledUpload, useFaultScenes } from "./fault-scene.js";
import { type Act, answerOf, CONTINUE, NO_CONTENT, type Script, showImage } from "./scripted-glance.js";

/** Two chunks, as a body of unknown size is sent to Glance. */
const SIZE = 128 * 1024;
/** More than the kernel and the proxy take in while nobody reads. */
const BIG_SIZE = 12 * 1024 * 1024;

interface Fault {
  readonly name: string;
  /** @param missing what would end the body as declared. */
  readonly act: (upload: ClientUpload, missing: string) => Promise<void> | void;
  /** Whether the client is there to read an answer. */
  readonly stays: boolean;
  /** Whether it closes its side behind a whole body, and so is still there for the answer as far as anybody can tell. */
  readonly mayStayWhenWhole?: boolean;
  /** What becomes of its upload if it decides that; what it reads then. */
  readonly undecided?: Outcome;
  /** Whether it ends its body as it should, in its own time. */
  readonly finishes?: boolean;
  readonly framings?: readonly Framing[];
}

const FAULTS: readonly Fault[] = [
  { name: "closes", act: ({ peer }) => peer.destroy(), stays: false, mayStayWhenWhole: true },
  { name: "resets", act: ({ peer }) => peer.reset(), stays: false },
  { name: "half-closes", act: ({ peer }) => void peer.end(), stays: false, mayStayWhenWhole: true },
  { name: "falls silent", act: () => undefined, stays: true },
  {
    name: "goes on byte by byte",
    act: ({ peer }, missing) => dribble(peer, missing),
    stays: true,
    finishes: true,
  },
  {
    name: "sends a malformed chunk",
    act: ({ peer }) => void peer.send("zz\r\n"),
    stays: true,
    undecided: { reads: [400], outcomes: ["client_aborted"] },
    framings: ["chunked", "chunked with header"],
  },
];

interface Outcome {
  readonly reads?: readonly Reading[];
  readonly outcomes: readonly string[];
}

interface Phase {
  readonly name: string;
  readonly size?: number;
  readonly headers?: Record<string, string | number>;
  /** What Glance does, until the client has done its worst. */
  readonly script: Omit<Script, "size">;
  /** Brings the upload so far. */
  readonly begin: (upload: ClientUpload, scene: FaultScene) => Promise<void>;
  /** What is missing of the body then. */
  readonly missing: (upload: ClientUpload) => string;
  /** The answer is on its way: a client that has closed its side may still read it. */
  readonly isDecided?: true;
  /** What Glance does thereafter, by itself. */
  readonly afterwards?: (scene: FaultScene) => void;
  readonly expected: (fault: Fault) => Outcome;
  /** The refused client may do nothing more, and is let go all the same. */
  readonly lingers?: boolean;
  /** The source of the size, if it is not the framing. */
  readonly sizeSource?: string;
  readonly framings?: readonly Framing[];
  readonly faults?: readonly string[];
}

/** Reads on, and waits for what the test tells it. */
const wait: Act = () => undefined;
const succeed: Act = (connection) => connection.send(NO_CONTENT);

/** Nothing is decided yet: what the client does decides. */
function undecided({ stays, finishes = false, undecided }: Fault): Outcome {
  if (undecided) return undecided;
  if (finishes) return { reads: [204], outcomes: ["completed"] };
  return stays ? { reads: [408], outcomes: ["client_timeout"] } : { outcomes: ["client_aborted"] };
}

/** A client that has been refused changes nothing about that any more. */
const decided =
  (status: number, outcome: string) =>
  ({ stays }: Fault): Outcome => ({ ...(stays ? { reads: [status] } : {}), outcomes: [outcome] });

/** The rest of a small body, as one piece on the wire. */
function rest(upload: ClientUpload, bytes: number): string {
  const data = "x".repeat(bytes);
  return upload.options.framing === "Content-Length" ? data : `${bytes.toString(16)}\r\n${data}\r\n0\r\n\r\n`;
}

const PHASES: readonly Phase[] = [
  {
    name: "after its head, Glance not having said to go on",
    size: 4,
    script: { at: "head", act: (connection) => void connection.whole().then(() => succeed(connection)) },
    begin: (_upload, scene) => scene.glance.acted(),
    missing: (upload) => rest(upload, 4),
    expected: undecided,
  },
  {
    name: "after its head",
    size: 4,
    script: { at: "whole", act: succeed },
    begin: (_upload, { glance }) =>
      eventually(() => glance.connections[0]?.received.head !== undefined, "the head to reach Glance"),
    missing: (upload) => rest(upload, 4),
    expected: undecided,
  },
  {
    name: "in the middle of its body",
    script: { at: "body", act: (connection) => void connection.whole().then(() => succeed(connection)) },
    async begin(upload, scene) {
      upload.sendHalf();
      await scene.glance.acted();
    },
    missing: (upload) => rest(upload, SIZE / 2),
    expected: undecided,
  },
  {
    name: "with all of its body sent but the end",
    script: { at: "held back", act: (connection) => void connection.whole().then(() => succeed(connection)) },
    async begin(upload, scene) {
      upload.sendAllButTheEnd();
      await scene.glance.acted();
    },
    missing: (upload) => upload.end,
    expected: undecided,
  },
  {
    name: "while Glance reads no more",
    size: BIG_SIZE,
    script: {
      at: "head",
      act(connection) {
        connection.socket.pause();
        connection.send(CONTINUE);
      },
    },
    async begin(upload, scene) {
      await scene.glance.acted();
      upload.sendAllButTheEnd();
      // The proxy no longer reads either, and may thus learn of the client's end only after Glance's time is over.
      await scene.proxy.standstill();
    },
    missing: (upload) => upload.end,
    expected: ({ stays }) =>
      stays
        ? { reads: [504], outcomes: ["upstream_error"] }
        : { outcomes: ["client_aborted", "upstream_error"] },
    faults: ["closes", "resets", "half-closes", "falls silent"],
  },
  {
    name: "while it waits for the answer",
    script: { at: "whole", act: wait },
    async begin(upload, scene) {
      upload.finish();
      await scene.glance.acted();
    },
    missing: () => "\r\n\r\n",
    afterwards: answerUpload(NO_CONTENT),
    // The image is whole, and the client's leaving does not change that.
    expected: ({ stays }) => ({
      ...(stays ? { reads: [204] } : {}),
      outcomes: ["completed"],
    }),
    framings: ["Content-Length", "chunked with header"],
  },
  {
    name: "within the answer",
    script: {
      at: "whole",
      act: (connection) => connection.send(answerOf(200, "x".repeat(50)).slice(0, -10)),
    },
    async begin(upload, scene) {
      upload.finish();
      await scene.glance.acted();
      await eventually(() => upload.peer.unread.includes("xx"), "the answer's beginning");
    },
    missing: () => "\r\n\r\n",
    afterwards: answerUpload("x".repeat(10)),
    expected: ({ stays }) => ({
      ...(stays ? { reads: [200] } : {}),
      outcomes: ["completed"],
    }),
    framings: ["Content-Length", "chunked with header"],
  },
  {
    name: "while a refusal is coming",
    script: { at: "body", act: (connection) => connection.send(answerOf(409, "in use").slice(0, -3)) },
    async begin(upload, scene) {
      upload.sendHalf();
      await scene.glance.acted();
    },
    missing: (upload) => rest(upload, SIZE / 2),
    afterwards: answerUpload("use"),
    isDecided: true,
    expected: decided(409, "upstream_rejected"),
  },
  {
    name: "when the proxy has refused it",
    size: 4,
    headers: { "upload-length": "x" },
    script: { at: "accepted", act: wait },
    async begin(upload) {
      upload.sendHalf();
      await eventually(() => upload.peer.unread.includes("400"), "the refusal");
    },
    missing: (upload) => rest(upload, 2),
    expected: decided(400, "invalid_size"),
    lingers: true,
    sizeSource: "unknown",
  },
  {
    name: "when Glance has refused it",
    script: { at: "body", act: (connection) => connection.send(answerOf(409, "in use")) },
    async begin(upload) {
      upload.sendHalf();
      await eventually(() => upload.peer.unread.includes("409"), "the refusal");
    },
    missing: (upload) => rest(upload, SIZE / 2),
    expected: decided(409, "upstream_rejected"),
    lingers: true,
  },
  {
    name: "while its upload is rolled back",
    size: 4,
    script: { at: "body", act: wait, lookUp: { at: "whole", act: showImage("saving") } },
    async begin(upload, { glance }) {
      upload.sendAllButTheEnd();
      await glance.acted();
      upload.peer.sendChunk("x");
      await eventually(() => glance.connections.length > 1, "the image to be looked up");
    },
    missing: () => "2\r\nxx\r\n0\r\n\r\n",
    expected: decided(400, "size_exceeded"),
    framings: ["chunked with header"],
  },
];

function answerUpload(bytes: string): (scene: FaultScene) => void {
  return ({ glance }) => glance.connections[0]?.send(bytes);
}

const COMBINATIONS = ["file", "stage"].flatMap((operation) =>
  PHASES.flatMap((phase) =>
    FAULTS.filter(({ name }) => phase.faults?.includes(name) ?? true).flatMap((fault) =>
      FRAMINGS.filter(
        (framing) =>
          (operation === "file" || framing === "chunked with header") &&
          (phase.framings?.includes(framing) ?? true) &&
          (fault.framings?.includes(framing) ?? true),
      ).map((framing) => ({ operation, phase, framing, fault })),
    ),
  ),
);

const scenes = useFaultScenes();

describe("a client", () => {
  it.concurrent.each(
    COMBINATIONS.map(
      (one) => [`${one.fault.name} ${one.phase.name} (${one.operation}, ${one.framing})`, one] as const,
    ),
  )("that %s", (_, { operation, phase, framing, fault }) =>
    scenes.runUpload((scene) => play(scene, operation, phase, framing, fault)),
  );

  it.concurrent.each([
    ["closes", (upload: ClientUpload) => upload.peer.destroy(), undefined],
    ["resets", (upload: ClientUpload) => upload.peer.reset(), undefined],
    ["half-closes", (upload: ClientUpload) => void upload.peer.end(), undefined],
    ["sends a malformed header line", (upload: ClientUpload) => void upload.send("\x01: x\r\n\r\n"), 400],
  ])("that %s within its head has begun no upload", (_, act, status) =>
    scenes.run(async (scene) => {
      scene.glance.play({ at: "accepted", act: wait, size: SIZE });
      const upload = new ClientUpload(await scene.connect(), {
        framing: "chunked",
        target: "/v2/images/none/file",
        size: SIZE,
      });
      upload.send(requestHead("PUT", upload.options.target, upload.headers).slice(0, -10));
      await upload.peer.flushed();
      act(upload);
      if (status !== undefined) expect(await upload.reading()).toBe(status);
      await scene.expectConnectionsEnded("both");
      expect(scene.glance.connections).toEqual([]);
      expect(scene.proxy.logged.filter((line) => line["imageId"] === "none")).toEqual([]);
    }),
  );

  it.concurrent("that sends its head byte by byte is served", () =>
    scenes.runUpload(async (scene) => {
      const imageId = "slow-head";
      scene.glance.play({ at: "whole", act: succeed, size: 8 });
      const upload = new ClientUpload(await scene.connect(), {
        framing: "Content-Length",
        target: `/v2/images/${imageId}/file`,
        size: 8,
      });
      await dribble(upload.peer, requestHead("PUT", upload.options.target, upload.headers));
      upload.finish();
      expect(await upload.reading()).toBe(204);
      return { upload, imageId, operation: "file", outcomes: ["completed"], sizeSource: "content_length" };
    }),
  );
});

describe("a client that leaves while a refusal is coming", () => {
  // One after the other: what is looked at is the whole process.
  it.each([
    ["closes", (upload: ClientUpload) => upload.peer.destroy()],
    ["resets", (upload: ClientUpload) => upload.peer.reset()],
  ])("%s, and nobody goes on reading from it", (_, act) =>
    scenes.run(async (scene) => {
      scene.glance.play({
        at: "body",
        act: (connection) => connection.send(answerOf(409, "in use").slice(0, -3)),
        size: SIZE,
      });
      const upload = new ClientUpload(await scene.connect(), {
        framing: "chunked",
        target: "/v2/images/left/file",
        size: SIZE,
      });
      upload.sendHead().sendHalf();
      await scene.glance.acted();
      act(upload);
      await scene.expectClientsGone();
      scene.glance.connections[0]?.send("use");
      await scene.expectConnectionsEnded("glance");
      // Far less than the seconds for which a client that is there would be read from.
      await scenes.nothingLeft(2_000);
    }),
  );
});

let images = 0;

async function play(
  scene: FaultScene,
  operation: string,
  phase: Phase,
  framing: Framing,
  fault: Fault,
): Promise<SettledUpload> {
  const size = phase.size ?? SIZE;
  const imageId = `image-${(images += 1)}`;
  scene.glance.play({ ...phase.script, size });
  const peer = await scene.connect();
  const upload = new ClientUpload(peer, { framing, size, target: `/v2/images/${imageId}/${operation}` });
  upload.sendHead(phase.headers);
  await phase.begin(upload, scene);

  const { reads, outcomes } = phase.expected(fault);
  const { sizeSource = upload.sizeSource } = phase;
  if (fault.finishes) upload.whole = true;
  await fault.act(upload, phase.missing(upload));
  if (phase.afterwards) {
    // What it does to a client that is gone shows only when the proxy knows that it is.
    const mayStay = fault.mayStayWhenWhole === true && (upload.whole || phase.isDecided === true);
    const isKnownToBeGone = reads === undefined && !mayStay;
    if (isKnownToBeGone) await scene.expectClientsGone();
    phase.afterwards(scene);
  }
  if (reads === undefined) {
    if (!peer.socket.destroyed) await peer.closed();
  } else {
    expect(reads).toContain(await upload.reading());
    await scene.expectConnectionsEnded("glance");
    if (!upload.whole) {
      if (!phase.lingers) upload.finishInVain();
      expect(await peer.closed()).toBe("fin");
    }
    expect(peer.wasReset).toBe(false);
  }
  return { upload, imageId, operation, outcomes, sizeSource };
}

scenes.expectNothingLeft();
