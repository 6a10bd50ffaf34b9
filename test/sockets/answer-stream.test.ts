/** When the memory of an answer's pieces is free: only after the kernel has accepted all of them. */
import { EventEmitter } from "node:events";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { Duplex } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { beforeEach, expect, it } from "vitest";
import { streamAnswer } from "../../src/client/answer-stream.js";

const IDLE_MS = 50;

type WriteCallback = (error?: Error | null) => void;

/** A client's connection whose writes end when the test says so. */
class Connection extends Duplex {
  readonly pending: WriteCallback[] = [];
  /** Limits that were set for the connection itself. */
  readonly limits: number[] = [];
  override _read(): void {
    // the client sends nothing
  }
  setTimeout(ms: number): this {
    this.limits.push(ms);
    return this;
  }
  override _write(_chunk: Buffer, _encoding: BufferEncoding, callback: WriteCallback): void {
    this.pending.push(callback);
  }
}

class Answer extends EventEmitter {
  readonly readableEnded = false;
  readonly destroyed = false;
  readonly reusesMemory = true;
  readonly httpVersion = "1.1";
  readonly rawHeaders = [];
  resumes = 0;
  pause(): void {
    // as if it had no more
  }
  resume(): void {
    this.resumes += 1;
  }
  destroy(): void {
    this.emit("close");
  }
}

let connection: Connection;
let response: ServerResponse;
let answer: Answer;
beforeEach(() => {
  connection = new Connection();
  connection.on("error", () => undefined);
  response = new ServerResponse(new IncomingMessage(new Socket()));
  response.assignSocket(connection as unknown as Socket);
  answer = new Answer();
  void streamAnswer({
    answer: answer,
    response,
    writeHead: () => void response.writeHead(200, { "content-length": 100 }),
    patience: { silenceMs: 0, idleMs: IDLE_MS },
  });
  answer.emit("data", Buffer.from("hello"));
  answer.emit("data", Buffer.from("world"));
  expect(answer.resumes).toBe(1); // at its beginning
});

/** Ends the writes one after the other, the last one excepted. */
async function writeAllButLast(): Promise<void> {
  while (connection.writableLength > "world".length) {
    connection.pending.shift()?.();
    await nextTurn();
  }
}

it("the answer is read on after all of its pieces are written, not after the first", async () => {
  await writeAllButLast();
  expect(answer.resumes).toBe(1);
  connection.pending.shift()?.();
  await nextTurn();
  expect(answer.resumes).toBeGreaterThan(1);
});

it("the answer is not read on because of a drain that comes earlier", async () => {
  await writeAllButLast();
  response.emit("drain");
  expect(answer.resumes).toBe(1);
});

it("the answer is not read on after a write that failed", async () => {
  await writeAllButLast();
  connection.pending.shift()?.(new Error("reset"));
  await nextTurn();
  expect(answer.resumes).toBe(1);
});

it("a client that has not taken a piece in time is left to Node's timer, which sees parts of it", async () => {
  await expect.poll(() => connection.limits).toEqual([IDLE_MS]);
  expect(connection.destroyed).toBe(false);
  while (connection.pending.length > 0) {
    connection.pending.shift()?.();
    await nextTurn();
  }
  expect(connection.limits).toEqual([IDLE_MS, 0]);
});

it("a client that has not even taken a part is cut off", async () => {
  await expect.poll(() => connection.limits).toEqual([IDLE_MS]);
  response.emit("timeout"); // as a server does when the connection's timer expires
  expect(connection.destroyed).toBe(true);
});
