/**
 * Upload bodies read from the socket itself, into one buffer that is used again and again. Node's ways give every 64 KiB a fresh
 * buffer, and its parser copies them once more; that is two thirds of what a byte costs.
 *
 * Node's server parses the head; the body never reaches its parser. The connection stays the server's in all else: its errors,
 * its end, the answer on it. It is not used again after that answer.
 *
 * The one file that touches what Node does not promise; `checkRawBodies` tries it out at the start:
 * - a server's parser reads a connection through its one `data` listener, once something else has listened to `data`;
 * - what `new Socket({ onread })` does for a connection one opens oneself can be done to one that was accepted.
 */
import { EventEmitter } from "node:events";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { Readable } from "node:stream";
import { readAnnouncedBody, type AnnouncedBody } from "../http/announced-body.js";
import type { Body } from "../http/body.js";
import { ChunkedFraming, LengthFraming, type BodyFraming } from "./body-framing.js";
import { BufferPool } from "./buffer-pool.js";
import { createRequestHead, splitHead } from "../http/request-head.js";

/** It holds what a client has sent while Glance does not read, so 200 of them have to fit. */
export const READ_BYTES = 512 * 1024;
/** Of what is kept, each read is copied, as soon as it fits into the memory of its spool. */
export const KEEP_READ_BYTES = 256 * 1024;
/** For bodies that flow: fewer turns. Of several at once a byte costs no less beyond the one size, of one alone beyond the other. */
const LARGE_READ_BYTES = 2 * 1024 * 1024;
const LARGEST_READ_BYTES = 4 * 1024 * 1024;
/** A body flows that has come that far. */
const FLOWING_BYTES = 16 * 1024 * 1024;
/** So many bodies at once are read into large buffers; they are for few fast clients, not for hundreds of slow ones. */
const MOST_LARGE = 16;
const MOST_LARGEST = 1;
const DISCARD_BYTES = 64 * 1024;
/** Smaller chunks are moved together: each piece costs a write. */
const SMALL_BYTES = 4 * 1024;
/** So many buffers wait for the next body. */
const MOST_IDLE = 16;
const MOST_IDLE_LARGE = 2;

/**
 * Takes the body of a request over; at once, while its event is being emitted, or never.
 * @param purpose a body that is kept comes in pieces that fit into the memory of its spool.
 * @returns undefined where it has to be read as usual.
 */
export type ClaimBody = (exchange: ClaimedExchange, purpose: "keep" | "send") => Body | undefined;

export interface ClaimedExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly announced: AnnouncedBody;
}

/** From how many bytes on a body is worth taking over, by `upload.relay`: its connection cannot be used again. */
export function leastRawBytes(relay: "auto" | "raw" | "stream"): number {
  return relay === "raw" ? 0 : 1024 * 1024;
}

/**
 * @param leastBytes a body of a shorter `Content-Length` is left to the parser from the beginning.
 * @throws Error where this Node has no such thing.
 */
export function createRawBodies(server: Server, leastBytes: number): ClaimBody {
  const readInto = findReadInto();
  const discard = Buffer.allocUnsafeSlow(DISCARD_BYTES);
  const memories = {
    keep: { discard, usual: new BufferPool(KEEP_READ_BYTES, MOST_IDLE), flowing: [] },
    send: {
      discard,
      usual: new BufferPool(READ_BYTES, MOST_IDLE),
      flowing: [
        new BufferPool(LARGEST_READ_BYTES, MOST_LARGEST, MOST_LARGEST),
        new BufferPool(LARGE_READ_BYTES, MOST_IDLE_LARGE, MOST_LARGE),
      ],
    },
  };
  /** The request whose head has just ended, with what came behind it. */
  let offer: { readonly socket: Socket; readonly rest: Buffer; body?: RawBody } | undefined;

  server.on("connection", (socket: Socket) => {
    const [parse, ...others] = socket.listeners("data");
    if (parse === undefined || others.length > 0) return;
    const parsed = (bytes: Buffer): boolean => {
      if (bytes.length > 0) parse.call(socket, bytes);
      return socket.writable && !socket.isPaused(); // neither refused nor made to wait
    };
    socket.off("data", parse as () => void);
    socket.on("data", (bytes: Buffer) => {
      const head = headBytes(bytes);
      if (head === 0 || lengthIn(bytes.subarray(0, head)) < leastBytes) return void parsed(bytes);
      // Only a request that begins with the very last byte of an empty line has its body right behind it.
      if (!parsed(bytes.subarray(0, head - 1))) return unread(socket, bytes.subarray(head - 1));
      const rest = bytes.subarray(head);
      offer = { socket, rest };
      const goesOn = parsed(bytes.subarray(head - 1, head));
      const taken = offer.body !== undefined;
      offer = undefined;
      if (taken || rest.length === 0) return;
      if (goesOn) parsed(rest);
      else unread(socket, rest);
    });
  });

  return ({ request, response, announced }, purpose) => {
    if (offer === undefined || offer.socket !== request.socket || offer.body) return undefined;
    const { socket, rest } = offer;
    const framing = framingOf(announced);
    if (framing === undefined || framing.ended || socket.isPaused()) return undefined;
    response.shouldKeepAlive = false;
    offer.body = new RawBody(request, framing, rest, memories[purpose], readInto);
    return offer.body;
  };
}

const PUT = Buffer.from("PUT ");
const HEAD_END = Buffer.from("\r\n\r\n");

/** @returns how many bytes the head of an upload takes, where one begins and ends here; else 0. */
function headBytes(bytes: Buffer): number {
  if (bytes.length < PUT.length || bytes.compare(PUT, 0, PUT.length, 0, PUT.length) !== 0) return 0;
  const end = bytes.indexOf(HEAD_END);
  return end === -1 ? 0 : end + HEAD_END.length;
}

/** @returns what such a head says of its body; as far as this can see, it may be large. */
function lengthIn(head: Buffer): number {
  const announced = readAnnouncedBody(createRequestHead(splitHead(head.toString("latin1"))));
  return announced.kind === "length" ? announced.bytes : Number.POSITIVE_INFINITY;
}

/** For a connection whose parser has to wait: it comes again when the connection goes on. One that was refused is not read. */
function unread(socket: Socket, bytes: Buffer): void {
  if (socket.writable) socket.unshift(bytes);
}

function framingOf(announced: AnnouncedBody): BodyFraming | undefined {
  switch (announced.kind) {
    case "length":
      return new LengthFraming(announced.bytes);
    case "chunked":
      return new ChunkedFraming();
    case "none":
    case "invalid":
      return undefined;
  }
}

/** What the bodies of one purpose are read into. */
interface ReadMemory {
  /** For all that is of no use: each read is over before the next, whosever it is. */
  readonly discard: Buffer;
  readonly usual: BufferPool;
  /** Where it helps a body that flows: the first that is not exhausted. */
  readonly flowing: readonly BufferPool[];
}

class RawBody extends EventEmitter implements Body {
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

/** Has the socket read into `buffer` from now on; `onRead` returns whether to read on. */
type ReadInto = (socket: Socket, buffer: Buffer, onRead: (bytes: number, buffer: Buffer) => boolean) => void;

function findReadInto(): ReadInto {
  const options: object = { onread: { buffer: Buffer.alloc(1), callback: () => true } }; // unknown to its types
  const model = new Socket(options);
  const symbols = Object.getOwnPropertySymbols(model);
  const [bufferKey, callbackKey] = ["kBuffer", "kBufferCb"].map((name) => {
    const key = symbols.find(({ description }) => description === name);
    if (key === undefined) throw new Error(`net.Socket has no ${name}`);
    return key;
  }) as [symbol, symbol];
  return (socket, buffer, onRead) => {
    const hidden = socket as unknown as {
      [key: symbol]: unknown;
      _handle: { useUserBuffer(buffer: Buffer): void } | null;
    };
    if (hidden._handle === null) return; // closed
    // Read only after `resume`: a stream that has just been pushed to would also read ahead by itself.
    socket._read = () => undefined;
    socket.read = (size) => Readable.prototype.read.call(socket, size) as unknown;
    hidden[bufferKey] = buffer;
    hidden[callbackKey] = onRead;
    hidden._handle.useUserBuffer(buffer);
  };
}
