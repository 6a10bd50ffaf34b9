/**
 * Writes an upload's body to Glance, in pieces that suit it. Small pieces go together, since each costs a write. In a body of unknown
 * size every chunk but the last has exactly 64 KiB, however the client cut its own: uWSGI hands whole chunks to Glance, whose RBD
 * driver fails on one that is larger than it asked for, and uWSGI itself resets the connection on chunks near 1 MiB.
 */
import type { ClientRequest } from "node:http";
import type { Socket } from "node:net";
import { createTimer, type Timer } from "../http/timer.js";

const CHUNK_BYTES = 64 * 1024;

/** uWSGI gives up on an upload that pauses (`socket-timeout`, 10 s in Debian): what has waited that long goes as it is. */
const MAX_WAIT_MS = 5_000;

/** A piece of a body of known size that is smaller waits for the others of this turn. */
const SMALL_BYTES = 4 * 1024;

/** Worth a system call of its own: it is mostly with the kernel then, and the next may be read with no turn in between. */
const AT_ONCE_BYTES = 256 * 1024;

export interface OutflowOptions {
  readonly request: ClientRequest;
  readonly framing: "content-length" | "chunked";
  /** Called with the number of bytes that are handed to the connection. */
  readonly onForwarded: (bytes: number) => void;
  /** Called when everything that was handed to the connection is with the kernel. */
  readonly onSent: () => void;
}

export class Outflow {
  readonly #options: OutflowOptions;
  /** Waits to go together with what comes next. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #isFlushDue = false;
  /** Writes that are not with the kernel yet. */
  #unsent = 0;
  readonly #stale: Timer;

  constructor(options: OutflowOptions) {
    this.#options = options;
    this.#stale = createTimer(MAX_WAIT_MS, () => this.#flush());
  }

  /**
   * @param reused the memory of these bytes is read into again, once they are with the kernel.
   * @returns whether to go on: if not, `drain` of the request or `onSent` tells when.
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

  /** @param onSent called when the kernel has all of it. */
  end(onSent: () => void): void {
    this.#flush();
    const { request } = this.#options;
    // Node says `finish` of a connection that has failed, too.
    request.end(() => {
      if (request.socket && !request.socket.destroyed && !request.socket.errored) onSent();
    });
  }

  /** Nothing more goes out. */
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
    request.write(bytes, () => {
      this.#unsent -= 1;
      if (this.#unsent === 0) onSent();
    });
    if (atOnce) socket?.uncork();
  }
}

/** One system call for all that is written now. Node also merges the writes of a turn into one chunk unless it finds this (26). */
function corkForThisTurn(socket: Socket): void {
  socket.cork();
  process.nextTick(() => socket.uncork());
}
