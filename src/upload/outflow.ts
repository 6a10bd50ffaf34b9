/**
 * Writes an upload's body to Glance. Small pieces are joined, because each write is a system call. If the size is unknown, each chunk
 * except the last has exactly 64 KiB, whatever the client's chunks are. Reason: uWSGI passes whole chunks to Glance, whose RBD driver
 * fails on a chunk that is larger than it asked for, and uWSGI resets the connection on chunks of about 1 MiB.
 */
import type { ClientRequest } from "node:http";
import type { Socket } from "node:net";
import type { Framing } from "../http/body.js";
import { createTimer, type Timer } from "../http/timer.js";

const CHUNK_BYTES = 64 * 1024;

/** Data that has waited this long is sent as it is. uWSGI ends an upload that pauses for `socket-timeout`, 10 s in Debian. */
const MAX_WAIT_MS = 5_000;

/** If the size is known, smaller pieces wait for the other pieces of the same tick. */
const SMALL_BYTES = 4 * 1024;

/** Pieces of at least this size are written at once, not at the end of the tick: the kernel usually accepts them, so that reading goes on in the same tick. */
const AT_ONCE_BYTES = 256 * 1024;

export interface OutflowOptions {
  readonly request: ClientRequest;
  readonly framing: Framing;
  /** Called with the number of bytes written to the connection. */
  readonly onForwarded: (bytes: number) => void;
  /** Called when the kernel has accepted everything that was written. */
  readonly onSent: () => void;
}

export class Outflow {
  readonly #options: OutflowOptions;
  /** Not written yet: joined with the next pieces. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #isFlushDue = false;
  /** Writes that the kernel has not accepted yet. */
  #unsent = 0;
  /** Set after the last write, if the kernel has not accepted it yet. */
  #onSent: (() => void) | undefined;
  readonly #stale: Timer;

  constructor(options: OutflowOptions) {
    this.#options = options;
    this.#stale = createTimer(MAX_WAIT_MS, () => this.#flush());
  }

  /**
   * @param reused the caller reuses the memory of these bytes once the kernel has accepted them.
   * @returns whether the caller may write more. If not, wait for `drain` of the request or for `onSent`.
   */
  write(bytes: Buffer, reused: boolean): boolean {
    if (this.#options.framing === "chunked") this.#writeChunks(bytes, reused);
    else if (bytes.length < SMALL_BYTES) this.#gather(bytes, reused);
    else {
      this.#flush();
      this.#send(bytes);
    }
    const { request } = this.#options;
    return reused ? this.#unsent === 0 : !request.writableNeedDrain;
  }

  /**
   * A request of known size is ended only after its last byte was accepted. Otherwise Node would append an empty piece to the last write.
   * libuv does not report such a write as finished when its last byte is accepted, and a quick answer of Glance would come first.
   *
   * @param onSent called when the kernel has accepted the whole body.
   */
  end(onSent: () => void): void {
    this.#flush();
    if (this.#options.framing === "chunked" || this.#unsent === 0) return this.#end(onSent);
    // Not a new function: V8 puts a function that is assigned to a property into the old generation of the heap. There it would keep
    // everything it refers to, the whole upload, until the next full garbage collection.
    this.#onSent = onSent;
    this.#options.request.uncork();
  }

  #end(onSent: () => void): void {
    const { request } = this.#options;
    // Node emits `finish` also if the connection has failed.
    request.end(() => {
      if (request.socket && !request.socket.destroyed && !request.socket.errored) onSent();
    });
  }

  /** Writes nothing more. */
  stop(): void {
    this.#stale.stop();
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  #writeChunks(bytes: Buffer, reused: boolean): void {
    let start = 0;
    if (this.#waitingBytes > 0 && this.#waitingBytes + bytes.length >= CHUNK_BYTES) {
      start = CHUNK_BYTES - this.#waitingBytes;
      this.#keep(bytes.subarray(0, start), false);
      this.#flush();
    }
    for (; bytes.length - start >= CHUNK_BYTES; start += CHUNK_BYTES) {
      this.#send(bytes.subarray(start, start + CHUNK_BYTES));
    }
    if (start === bytes.length) return;
    if (this.#waitingBytes === 0) this.#stale.start();
    this.#keep(bytes.subarray(start), reused);
  }

  #gather(bytes: Buffer, reused: boolean): void {
    this.#keep(bytes, reused);
    if (this.#waitingBytes >= CHUNK_BYTES) return this.#flush();
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    process.nextTick(() => {
      this.#isFlushDue = false;
      this.#flush();
    });
  }

  #keep(bytes: Buffer, reused: boolean): void {
    if (bytes.length === 0) return;
    this.#waiting.push(reused ? Buffer.from(bytes) : bytes);
    this.#waitingBytes += bytes.length;
  }

  #flush(): void {
    this.#stale.stop();
    if (this.#waitingBytes === 0) return;
    const [first, ...others] = this.#waiting;
    const bytes = first && others.length === 0 ? first : Buffer.concat(this.#waiting, this.#waitingBytes);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#send(bytes);
  }

  #send(bytes: Buffer): void {
    const { request, onForwarded, onSent } = this.#options;
    const { socket } = request;
    const atOnce = bytes.length >= AT_ONCE_BYTES;
    if (atOnce) socket?.cork();
    else if (socket) corkForThisTurn(socket);
    onForwarded(bytes.length);
    this.#unsent += 1;
    request.write(bytes, (error) => {
      this.#unsent -= 1;
      if (this.#unsent > 0) return;
      onSent();
      if (!error && this.#onSent) this.#end(this.#onSent);
    });
    if (atOnce) socket?.uncork();
  }
}

/** All writes of this tick become one system call. On Node 26 this also keeps Node from merging them into one chunk. */
function corkForThisTurn(socket: Socket): void {
  socket.cork();
  process.nextTick(() => socket.uncork());
}
