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
import type { Body } from "./body.js";
import { ChunkedFraming, LengthFraming, type BodyFraming } from "./body-framing.js";

/** It holds what a client has sent while Glance does not read, so 200 of them have to fit. */
const READ_BYTES = 512 * 1024;
/** Of what is kept, each read is copied, as soon as it fits into the memory of its spool. */
const KEEP_READ_BYTES = 256 * 1024;
/** For bodies that flow: fewer turns. Beyond this size a byte costs no less. */
const LARGE_READ_BYTES = 2 * 1024 * 1024;
/** A body flows that has come that far. */
const FLOWING_BYTES = 16 * 1024 * 1024;
/** So many bodies at once are read into large buffers; they are for few fast clients, not for hundreds of slow ones. */
const MAX_LARGE = 16;
const DISCARD_BYTES = 64 * 1024;
/** Smaller chunks are moved together: each piece costs a write. */
const SMALL_BYTES = 4 * 1024;
/** Read before anybody wants it, as Node does by its water mark. */
export const READ_AHEAD_BYTES = 256 * 1024;

/**
 * Takes the body of a request over; at once, while its event is being emitted, or never.
 * @param purpose a body that is kept comes in pieces that fit into the memory of its spool.
 * @returns undefined where it has to be read as usual.
 */
export type ClaimBody = (
  request: IncomingMessage,
  response: ServerResponse,
  purpose: "keep" | "send",
) => Body | undefined;

/** @throws Error where this Node has no such thing. */
export function createRawBodies(server: Server): ClaimBody {
  const readInto = findReadInto();
  const memories = { keep: new ReadMemory(KEEP_READ_BYTES, 0), send: new ReadMemory(READ_BYTES, MAX_LARGE) };
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
      if (head === 0) return void parsed(bytes);
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

  return (request, response, purpose) => {
    if (offer === undefined || offer.socket !== request.socket || offer.body) return undefined;
    const { socket, rest } = offer;
    const framing = framingOf(request);
    if (framing.ended || socket.isPaused()) return undefined;
    response.shouldKeepAlive = false;
    offer.body = new RawBody(socket, framing, rest, memories[purpose], readInto);
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

/** For a connection whose parser has to wait: it comes again when the connection goes on. One that was refused is not read. */
function unread(socket: Socket, bytes: Buffer): void {
  if (socket.writable) socket.unshift(bytes);
}

function framingOf({ headers }: IncomingMessage): BodyFraming {
  return headers["transfer-encoding"] === undefined
    ? new LengthFraming(Number(headers["content-length"] ?? 0))
    : new ChunkedFraming();
}

/** What bodies are read into. */
class ReadMemory {
  /** Read into by all that is of no use: nobody looks at it. */
  readonly discarded = Buffer.allocUnsafeSlow(DISCARD_BYTES);
  #large = 0;

  /** @param maxLarge so many large ones at once. */
  constructor(
    private readonly bytes: number,
    private readonly maxLarge: number,
  ) {}

  take(): Buffer {
    return Buffer.allocUnsafeSlow(this.bytes);
  }

  /** @returns undefined where enough are in use. */
  takeLarge(): Buffer | undefined {
    if (this.#large === this.maxLarge) return undefined;
    this.#large += 1;
    return Buffer.allocUnsafeSlow(LARGE_READ_BYTES);
  }

  releaseLarge(): void {
    this.#large -= 1;
  }
}

class RawBody extends EventEmitter implements Body {
  readonly #socket: Socket;
  readonly #framing: BodyFraming;
  readonly #memory: ReadMemory;
  readonly #readInto: ReadInto;
  /** What came before anybody wanted it. */
  readonly #ahead: Buffer[] = [];
  #aheadBytes = 0;
  #paused = true;
  #begun = false;
  #renewed = false;
  #hasLarge = false;
  #readBytes = 0;

  constructor(socket: Socket, framing: BodyFraming, first: Buffer, memory: ReadMemory, readInto: ReadInto) {
    super();
    this.#socket = socket;
    this.#framing = framing;
    this.#memory = memory;
    this.#readInto = readInto;
    socket.once("close", () => {
      this.#releaseLarge();
      this.emit("close");
    });
    // Read on, though not far: a client that leaves before its body is wanted is seen by that.
    socket.removeAllListeners("data").on("data", this.#readAhead);
    this.#readAhead(first);
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
    else this.#socket.resume();
  }

  readonly renew = (): void => {
    if (this.#renewed) return;
    this.#renewed = true;
    this.#releaseLarge();
    if (this.#begun) this.#readInto(this.#socket, this.#memory.discarded, this.#onRead);
  };

  readonly #readAhead = (bytes: Buffer): void => {
    if (bytes.length > 0) this.#ahead.push(bytes);
    this.#aheadBytes += bytes.length;
    if (this.#aheadBytes >= READ_AHEAD_BYTES) this.#socket.pause();
  };

  /** From here on the socket is read only when somebody resumes it. */
  #begin(): void {
    this.#begun = true;
    this.#socket.pause();
    const buffer = this.#renewed ? this.#memory.discarded : this.#memory.take();
    this.#readInto(this.#socket, buffer, this.#onRead);
    this.#socket.off("data", this.#readAhead);
    // Up to Node 24 all at once, on 26 piece by piece.
    for (;;) {
      const buffered = this.#socket.read() as Buffer | null;
      if (buffered === null) break;
      this.#ahead.push(buffered);
    }
  }

  #readWhatCameAhead(): void {
    while (!this.#paused && !this.destroyed) {
      const bytes = this.#ahead.shift();
      if (bytes === undefined) return void this.#socket.resume();
      this.#read(bytes);
    }
  }

  /** @returns whether to read on. */
  readonly #onRead = (bytes: number, buffer: Buffer): boolean => {
    if (this.#paused && !this.#renewed) {
      this.#socket.destroy(); // nobody asked for these: what they were read over may still have been on its way
      return false;
    }
    this.#readBytes += bytes;
    this.#read(buffer.subarray(0, bytes));
    if (this.#readBytes >= FLOWING_BYTES && !this.#hasLarge && !this.#renewed) this.#takeLarge();
    return !this.#paused;
  };

  #takeLarge(): void {
    const buffer = this.#memory.takeLarge();
    if (buffer === undefined) return;
    this.#hasLarge = true;
    this.#readInto(this.#socket, buffer, this.#onRead);
  }

  #releaseLarge(): void {
    if (this.#hasLarge) this.#memory.releaseLarge();
    this.#hasLarge = false;
  }

  #read(bytes: Buffer): void {
    if (this.complete) return; // read on only to see the client leave; nothing of it is answered
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
      this.#socket.destroy(); // as with Node's parser: an answer could land in the middle of another
      return;
    }
    tell();
    if (!this.complete) return;
    this.renew();
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
