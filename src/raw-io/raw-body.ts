/**
 * An upload's body read from the socket itself, into one buffer that is used again and again. Node's ways give every 64 KiB a fresh
 * buffer, and its parser copies them once more; that is two thirds of what a byte costs.
 */
import { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Body } from "../http/body.js";
import type { BodyFraming } from "./body-framing.js";
import type { BufferPool } from "./buffer-pool.js";
import type { ReadInto } from "./read-into.js";

/** A body flows that has come that far. */
const FLOWING_BYTES = 16 * 1024 * 1024;
/** Smaller chunks are moved together: each piece costs a write. */
const SMALL_BYTES = 4 * 1024;

/** What the bodies of one purpose are read into. */
export interface ReadMemory {
  /** For all that is of no use: each read is over before the next, whosever it is. */
  readonly discard: Buffer;
  readonly usual: BufferPool;
  /** Where it helps a body that flows: the first that is not exhausted. */
  readonly flowing: readonly BufferPool[];
}

export class RawBody extends EventEmitter implements Body {
  readonly #request: IncomingMessage;
  readonly #socket: Socket;
  readonly #framing: BodyFraming;
  readonly #readInto: ReadInto;
  /** Used, and to be given back. */
  readonly #held: { readonly pool: BufferPool; readonly buffer: Buffer }[] = [];
  readonly #discard: Buffer;
  #buffer: Buffer;
  /** To change to. */
  #flowing: readonly BufferPool[];
  /** Came before anybody wanted it: Node's, then what lies at the beginning of the buffer. */
  readonly #ahead: Buffer[] = [];
  #aheadBytes = 0;
  #paused = true;
  #begun = false;
  #hasLeft = false;
  #readBytes = 0;
  #malformed = false;
  /** The client has closed its side: nothing comes but what has been read already. */
  #halfClosed = false;

  constructor(
    request: IncomingMessage,
    framing: BodyFraming,
    first: Buffer,
    memory: ReadMemory,
    readInto: ReadInto,
  ) {
    super();
    const { socket } = request;
    this.#request = request;
    this.#socket = socket;
    this.#framing = framing;
    this.#readInto = readInto;
    this.#discard = memory.discard;
    this.#flowing = memory.flowing;
    this.#buffer = this.#hold(memory.usual);
    // Node's parser may refuse a head when it has shown it already.
    request.once("malformed", () => {
      this.#malformed = true;
      this.emit("malformed");
    });
    request.once("halfClosed", () => {
      this.#halfClosed = true;
      const hasAhead = this.#ahead.length > 0 || (!this.#begun && this.#aheadBytes > 0);
      if (!hasAhead) this.#endShort();
    });
    socket.once("close", () => {
      this.#letGo();
      this.emit("close");
    });
    socket.removeAllListeners("data");
    // Read on, though not far: a client that leaves before its body is wanted is seen by that.
    readInto(socket, this.#buffer, this.#onRead);
    const came = [first];
    // Up to Node 24 all at once, on 26 piece by piece.
    for (let piece; (piece = socket.read() as Buffer | null) !== null;) came.push(piece);
    const bytes = came.reduce((sum, { length }) => sum + length, 0);
    if (bytes >= this.#buffer.length) this.#ahead.push(...came);
    else for (const piece of came) this.#readAhead(piece.copy(this.#buffer, this.#aheadBytes));
    socket.resume();
  }

  get complete(): boolean {
    return this.#framing.ended;
  }

  get readableEnded(): boolean {
    return this.#framing.ended;
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  get malformed(): boolean {
    return this.#malformed;
  }

  /** Pieces that have been read already still come. */
  pause(): void {
    if (this.complete) return;
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (!this.#begun) this.#begin();
    if (this.#ahead.length > 0) process.nextTick(() => this.#readWhatCameAhead());
    else this.#readOn();
  }

  readonly renew = (): void => {
    this.#leave();
    if (!this.complete) this.#letGo(); // nobody will release it
  };

  readonly release = (): void => {
    for (const { pool, buffer } of this.#held.splice(0)) pool.release(buffer);
  };

  #hold(pool: BufferPool): Buffer {
    const buffer = pool.take();
    this.#held.push({ pool, buffer });
    return buffer;
  }

  /** Of memory that may still be on its way to somebody, who then has it for himself. */
  #letGo(): void {
    for (const { pool } of this.#held.splice(0)) pool.release();
    if (this.#begun) this.#buffer = this.#discard;
  }

  /** Reads elsewhere from now on. */
  #leave(): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    if (this.#begun) this.#readInto(this.#socket, this.#discard, this.#onRead);
  }

  /** From here on the socket is read only when somebody resumes it. */
  #begin(): void {
    this.#begun = true;
    this.#socket.pause();
    if (this.#aheadBytes > 0) this.#ahead.push(this.#buffer.subarray(0, this.#aheadBytes));
    if (this.#hasLeft) this.#buffer = this.#discard;
    this.#readInto(this.#socket, this.#buffer, this.#onRead);
  }

  #readWhatCameAhead(): void {
    while (!this.#paused && !this.destroyed) {
      const bytes = this.#ahead.shift();
      if (bytes === undefined) return this.#readOn();
      this.#read(bytes);
    }
  }

  #readOn(): void {
    if (this.#halfClosed) this.#endShort();
    else this.#socket.resume();
  }

  /** The client has closed its side before the end of its body. An answer that is already written still goes out. */
  #endShort(): void {
    if (!this.complete && !this.emit("halfClosed")) this.#socket.destroySoon();
  }

  /** @returns whether to read on. */
  readonly #onRead = (bytes: number, buffer: Buffer): boolean => {
    if (!this.#begun) return this.#readAhead(bytes);
    if (this.#paused && !this.#hasLeft) {
      this.#socket.destroy(); // nobody asked for these: what they were read over may still have been on its way
      return false;
    }
    this.#readBytes += bytes;
    this.#read(buffer.subarray(0, bytes));
    if (this.#readBytes >= FLOWING_BYTES && !this.#hasLeft) this.#takeLarge();
    return !this.#paused;
  };

  /** @returns whether there is room for more. */
  #readAhead(bytes: number): boolean {
    this.#aheadBytes += bytes;
    const room = this.#buffer.subarray(this.#aheadBytes);
    if (room.length > 0) this.#readInto(this.#socket, room, this.#onRead);
    return room.length > 0;
  }

  #takeLarge(): void {
    const large = this.#flowing.find((pool) => !pool.exhausted);
    if (!large) return;
    this.#flowing = [];
    this.#readInto(this.#socket, this.#hold(large), this.#onRead);
  }

  #read(bytes: Buffer): void {
    if (this.complete) return; // read on only to see the client leave; nothing of it is answered
    if (this.#malformed) return void this.emit("malformed");
    // What lies together and is not told yet.
    let start = 0;
    let end = 0;
    const tell = (): void => void (end > start && this.emit("data", bytes.subarray(start, end)));
    try {
      this.#framing.read(bytes, (piece) => {
        const at = piece.byteOffset - bytes.byteOffset;
        if (piece.length < SMALL_BYTES) {
          bytes.copyWithin(end, at, at + piece.length); // over framing that has been read
          end += piece.length;
        } else {
          tell();
          start = at;
          end = at + piece.length;
        }
      });
    } catch {
      this.#malformed = true;
      return void this.emit("malformed");
    }
    tell();
    if (!this.complete) return;
    this.#request.complete = true; // Node's parser never saw it, and asks for this when the client closes its side
    this.#leave();
    this.#paused = false;
    this.#socket.resume();
    this.emit("end");
  }
}
