/**
 * Reads an upload's body directly from the socket, into one reused buffer. Node would allocate a buffer for every 64 KiB, and its parser
 * would copy the bytes: measured, two thirds of the CPU time per byte.
 */
import { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Body } from "../http/body.js";
import type { BodyFraming } from "./body-framing.js";
import { HeldBuffers, type ReadMemory } from "./held-buffers.js";
import { readJoined } from "./joined-pieces.js";
import type { ReadInto } from "./read-into.js";

/** Buffers for bodies of one purpose. */
export interface BodyMemory extends ReadMemory {
  /** For bytes that are discarded; shared by all bodies. */
  readonly discard: Buffer;
}

export class RawBody extends EventEmitter implements Body {
  readonly #request: IncomingMessage;
  readonly #socket: Socket;
  readonly #framing: BodyFraming;
  readonly #readInto: ReadInto;
  readonly #held: HeldBuffers;
  readonly #discard: Buffer;
  /** Bytes that arrived before the first `resume`: those from Node, then those at the start of the buffer. */
  readonly #ahead: Buffer[] = [];
  #aheadBytes = 0;
  #paused = true;
  #begun = false;
  #hasLeft = false;
  #malformed = false;
  /** The client has closed its sending side, so only bytes that are already read follow. */
  #halfClosed = false;

  constructor(
    request: IncomingMessage,
    framing: BodyFraming,
    first: Buffer,
    memory: BodyMemory,
    readInto: ReadInto,
  ) {
    super();
    const { socket } = request;
    this.#request = request;
    this.#socket = socket;
    this.#framing = framing;
    this.#readInto = readInto;
    this.#discard = memory.discard;
    this.#held = new HeldBuffers(memory);
    // Node's parser may refuse a head after it has emitted the request.
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
    // Reads up to one buffer ahead, which shows whether the client disconnects.
    readInto(socket, this.#held.current, this.#onRead);
    const came = [first];
    // Node 24 and older return everything at once, Node 26 one piece per call.
    for (let piece; (piece = socket.read() as Buffer | null) !== null;) came.push(piece);
    const bytes = came.reduce((sum, { length }) => sum + length, 0);
    if (bytes >= this.#held.current.length) this.#ahead.push(...came);
    else for (const piece of came) this.#readAhead(piece.copy(this.#held.current, this.#aheadBytes));
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

  /** Pieces that are already read are still emitted. */
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

  readonly stopReusing = (): void => {
    this.#leave();
    if (!this.complete) this.#letGo(); // nobody will call `release`
  };

  readonly release = (): void => this.#held.release();

  #letGo(): void {
    this.#held.letGo();
    if (this.#begun) this.#held.current = this.#discard;
  }

  /** Reads into another buffer from now on. */
  #leave(): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    if (this.#begun) this.#readInto(this.#socket, this.#discard, this.#onRead);
  }

  /** From now on the socket is read only after `resume`. */
  #begin(): void {
    this.#begun = true;
    this.#socket.pause();
    if (this.#aheadBytes > 0) this.#ahead.push(this.#held.current.subarray(0, this.#aheadBytes));
    if (this.#hasLeft) this.#held.current = this.#discard;
    this.#readInto(this.#socket, this.#held.current, this.#onRead);
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

  /** The client has closed its sending side before the end of its body. An answer that is already written is still sent. */
  #endShort(): void {
    if (!this.complete && !this.emit("halfClosed")) this.#socket.destroySoon();
  }

  /** @returns whether to continue reading. */
  readonly #onRead = (bytes: number, buffer: Buffer): boolean => {
    if (!this.#begun) return this.#readAhead(bytes);
    if (this.#paused && !this.#hasLeft) {
      this.#socket.destroy(); // read in spite of a pause: the overwritten bytes may not have been sent yet
      return false;
    }
    this.#read(buffer.subarray(0, bytes));
    if (!this.#hasLeft && this.#held.grow(bytes))
      this.#readInto(this.#socket, this.#held.current, this.#onRead);
    return !this.#paused;
  };

  /** @returns whether the buffer has room for more. */
  #readAhead(bytes: number): boolean {
    this.#aheadBytes += bytes;
    const room = this.#held.current.subarray(this.#aheadBytes);
    if (room.length > 0) this.#readInto(this.#socket, room, this.#onRead);
    return room.length > 0;
  }

  #read(bytes: Buffer): void {
    if (this.complete) return; // read only to notice that the client disconnects
    if (this.#malformed) return void this.emit("malformed");
    try {
      readJoined(this.#framing, bytes, (piece) => this.emit("data", piece));
    } catch {
      this.#malformed = true;
      return void this.emit("malformed");
    }
    if (!this.complete) return;
    this.#request.complete = true; // Node checks this when the client closes its sending side
    this.#leave();
    this.#paused = false;
    this.#socket.resume();
    this.emit("end");
  }
}
