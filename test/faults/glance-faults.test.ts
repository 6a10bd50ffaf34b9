/** Whatever Glance does in the middle of an upload: one end to it, told to the client, and no image of half a body. */
import { describe, expect, it } from "vitest";
import { ClientUpload, type Framing, FRAMINGS, type Reading } from "./client-upload.js";
import { type FaultScene, type SettledUpload, useFaultScenes } from "./fault-scene.js";
import { type Act, answerOf, CONTINUE, NO_CONTENT, type Stage } from "./scripted-glance.js";

/** Two chunks, as a body of unknown size is sent to Glance. */
const SIZE = 128 * 1024;
/** More than the kernel and the proxy take in while nobody reads. */
const BIG_SIZE = 24 * 1024 * 1024;

const STAGES = ["accepted", "head", "body", "held back", "whole"] as const satisfies readonly Stage[];

const HAVING: Readonly<Record<Stage, string>> = {
  accepted: "accepted the connection",
  head: "the head",
  body: "half of the body",
  "held back": "all of the body that may go before its end",
  whole: "the whole body",
};

interface Fault {
  readonly name: string;
  readonly act: Act;
  /** What it does when nothing moves any more. */
  readonly whenFull?: Act;
  /** What the client reads, any of them, while its body is not over; and what then becomes of the upload. */
  readonly early: Expected;
  /** The same if the body is whole. Default: as `early`. */
  readonly late?: Expected;
  /** Where nothing has come of the request, so that closing resets the connection and an answer may be lost. */
  readonly unread?: Expected;
  /** The client sends on without having been answered: there is nothing to be seen of this fault until then. */
  readonly goesOn?: boolean;
  /** Needs a body that fills every buffer, at this stage. */
  readonly bigAt?: Stage;
  readonly stages?: readonly Stage[];
}

interface Expected {
  readonly reads: readonly Reading[];
  readonly outcomes: readonly string[];
}

const failed = (status: Reading): Expected => ({ reads: [status], outcomes: ["upstream_error"] });
const refused: Expected = { reads: [409], outcomes: ["upstream_rejected"] };
const completed: Expected = { reads: [204], outcomes: ["completed"] };
/** The head of Glance's success was passed on already. */
const cutAnswer: Expected = { reads: ["cut answer"], outcomes: ["completed"] };
/** A refusal goes on only once it is whole: no head is out yet. */
const cutRefusal: Expected = failed(502);
const refusedOrFailed: Expected = { reads: [409, 502], outcomes: ["upstream_rejected", "upstream_error"] };

const CONFLICT = answerOf(409, "in use");
const cutShort = (status: number) => answerOf(status, "x".repeat(100)).slice(0, -90);
const chunkedThen = (status: number, rest: string) =>
  `HTTP/1.1 ${status} Scripted\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n${rest}`;

/** Early a refusal, late a success: the two that are passed on. */
const answering =
  (send: (socket: Parameters<Act>[0], status: number) => void): Act =>
  (connection) =>
    send(connection, connection.received.complete ? 200 : 409);

const FAULTS: readonly Fault[] = [
  { name: "closes", act: ({ socket }) => socket.end(), early: failed(502) },
  { name: "resets", act: ({ socket }) => socket.resetAndDestroy(), early: failed(502) },
  {
    name: "reads no more and says nothing",
    act: ({ socket }) => socket.pause(),
    early: failed(504),
    goesOn: true,
    bigAt: "body",
  },
  { name: "reads on and says nothing", act: () => undefined, early: failed(504), goesOn: true },
  {
    name: "reads and answers a few bytes at a time",
    act(connection) {
      connection.readSlowly();
      if (connection.received.bodyBytes === 0) connection.dribble("HTTP/1.1 100 Continue\r\n\r\n");
      void connection.whole().then(() => connection.dribble(NO_CONTENT));
    },
    early: completed,
    goesOn: true,
  },
  {
    name: "refuses and keeps the connection",
    act: (connection) => connection.send(CONFLICT),
    early: refused,
  },
  {
    name: "refuses, keeps the connection and reads no more",
    act(connection) {
      connection.socket.pause();
      connection.send(CONFLICT);
    },
    early: refused,
    bigAt: "body",
  },
  {
    name: "reads no more, and refuses when there is no room left",
    act(connection) {
      connection.socket.pause();
      connection.send(CONTINUE);
    },
    whenFull: (connection) => connection.send(CONFLICT),
    early: refused,
    bigAt: "head",
    stages: ["head"],
  },
  {
    name: "refuses and closes",
    act: ({ socket }) => socket.end(CONFLICT, () => socket.destroy()),
    early: refused,
    unread: refusedOrFailed,
  },
  {
    name: "refuses and half-closes",
    act: ({ socket }) => socket.end(CONFLICT),
    early: refused,
  },
  {
    name: "succeeds",
    act: (connection) => connection.send(NO_CONTENT),
    early: failed(502),
    late: completed,
  },
  {
    name: "succeeds and closes",
    act: ({ socket }) => socket.end(NO_CONTENT),
    early: failed(502),
    late: completed,
  },
  {
    name: "closes within its answer",
    act: answering(({ socket }, status) => socket.end(cutShort(status))),
    early: cutRefusal,
    late: cutAnswer,
  },
  {
    name: "resets within its answer",
    act: answering(({ socket }, status) => socket.write(cutShort(status), () => socket.resetAndDestroy())),
    early: cutRefusal,
    late: cutAnswer,
  },
  {
    name: "falls silent within its answer",
    act: answering((connection, status) => connection.send(cutShort(status))),
    early: cutRefusal,
    late: cutAnswer,
  },
  {
    name: "falls silent within the head of its answer",
    act: (connection) => connection.send("HTTP/1.1 409 Conf"),
    early: failed(504),
    goesOn: true,
  },
  {
    name: "answers rubbish",
    act: (connection) => connection.send("SSH-2.0-OpenSSH_9.2\r\n"),
    early: failed(502),
  },
  {
    name: "answers rubbish in its chunks",
    act: answering((connection, status) => connection.send(chunkedThen(status, "zz\r\n"))),
    early: cutRefusal,
    late: cutAnswer,
  },
  {
    name: "answers without its last chunk",
    act: answering(({ socket }, status) => socket.end(chunkedThen(status, ""))),
    early: cutRefusal,
    late: cutAnswer,
  },
  {
    name: "switches protocols",
    act: (connection) =>
      connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
    early: failed(502),
  },
  {
    name: "answers an invalid status",
    act: (connection) => connection.send(CONFLICT.replace("409", "042")),
    early: failed(502),
  },
  {
    name: "answers a reason phrase with control bytes",
    act: (connection) => connection.send(CONFLICT.replace("Scripted", "Scrip\x01ted")),
    early: failed(502),
  },
  {
    name: "answers in a transfer coding that the proxy does not decode",
    act: (connection) =>
      connection.send("HTTP/1.1 409 Conflict\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
    early: failed(502),
  },
  {
    name: "refuses without end",
    act(connection) {
      connection.send("HTTP/1.1 409 Scripted\r\n\r\n");
      const { socket } = connection;
      const timer = setInterval(() => {
        if (socket.writable) socket.write(Buffer.alloc(64 * 1024, "x"));
        else clearInterval(timer);
      }, 5);
      socket.once("close", () => clearInterval(timer));
    },
    early: cutRefusal,
    // An answer to a whole body is passed on as it comes, for as long as it comes.
    stages: ["accepted", "head", "body", "held back"],
  },
];

/** Those that tell the two operations apart, were there a difference. */
const STAGE_FAULTS = new Set(["closes", "reads on and says nothing", "refuses and closes", "succeeds"]);

const COMBINATIONS = ["file", "stage"].flatMap((operation) =>
  FAULTS.filter(({ name }) => operation === "file" || STAGE_FAULTS.has(name)).flatMap((fault) =>
    (fault.stages ?? STAGES).flatMap((stage) =>
      FRAMINGS.filter((framing) => operation === "file" || framing === "chunked with header").map(
        (framing) => ({
          operation,
          stage,
          framing,
          fault,
        }),
      ),
    ),
  ),
);

const scenes = useFaultScenes({ together: 8 });

describe("Glance", () => {
  it.concurrent.each(
    COMBINATIONS.map(
      (one) =>
        [`${one.fault.name}, having ${HAVING[one.stage]} (${one.operation}, ${one.framing})`, one] as const,
    ),
  )("%s", (_, { operation, stage, framing, fault }) => {
    const run = (): Promise<void> =>
      scenes.runUpload((scene) => play(scene, operation, stage, framing, fault));
    return fault.bigAt === stage ? inTurn(run) : run();
  });

  it.concurrent.each(FRAMINGS)("does not listen (%s)", (framing) =>
    scenes.runUpload(async (scene) => {
      const imageId = `nobody-${framing.length}`;
      scene.glance.play({ at: "accepted", act: () => undefined, size: SIZE });
      await scene.glance.refuse();
      const upload = new ClientUpload(await scene.connect(), {
        framing,
        size: SIZE,
        target: `/v2/images/${imageId}/file`,
      });
      upload.sendHead().sendHalf();
      expect(await upload.reading()).toBe(502);
      upload.finishInVain();
      expect(await upload.peer.closed()).toBe("fin");
      await scene.glance.listen();
      const { sizeSource } = upload;
      return { upload, imageId, operation: "file", outcomes: ["upstream_error"], sizeSource };
    }),
  );
});

/** Of the large bodies only one is sent at a time: together they keep this process from all else. */
let turn: Promise<void> = Promise.resolve();
function inTurn(act: () => Promise<void>): Promise<void> {
  const done = turn.then(act);
  turn = done.catch(() => undefined);
  return done;
}

let images = 0;

async function play(
  scene: FaultScene,
  operation: string,
  stage: Stage,
  framing: Framing,
  fault: Fault,
): Promise<SettledUpload> {
  const size = fault.bigAt === stage ? BIG_SIZE : SIZE;
  const imageId = `image-${(images += 1)}`;
  scene.glance.play({ at: stage, act: fault.act, size });
  const peer = await scene.connect();
  const upload = new ClientUpload(peer, { framing, size, target: `/v2/images/${imageId}/${operation}` });

  upload.sendHead();
  if (stage === "whole") upload.finish();
  else if (stage === "held back") upload.sendAllButTheEnd();
  else upload.sendHalf();
  await scene.glance.acted();
  if (fault.goesOn && stage !== "whole") upload.finish();
  // A client that is still sending fills what is in between.
  else if (fault.bigAt === stage) upload.sendAllButTheEnd();
  if (fault.whenFull) {
    await scene.proxy.standstill();
    for (const connection of scene.glance.connections) fault.whenFull(connection);
  }

  const expected =
    stage === "whole"
      ? (fault.late ?? fault.early)
      : stage === "accepted"
        ? (fault.unread ?? fault.early)
        : fault.early;
  const reading = await upload.reading();
  expect(expected.reads).toContain(reading);
  // Before the client does anything more: nothing of a finished upload waits for it.
  await scene.expectConnectionsEnded("glance");
  if (typeof reading === "number" && !upload.whole) {
    upload.finishInVain();
    expect(await peer.closed()).toBe("fin");
    expect(peer.wasReset).toBe(false);
  }
  return { upload, imageId, operation, outcomes: expected.outcomes, sizeSource: upload.sizeSource };
}

scenes.expectNothingLeft();
