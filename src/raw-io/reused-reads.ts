/** Reads one connection into reused memory: where the next bytes go, when they are passed on, and when their memory is free. */
import { HeldBuffers, type ReadMemory } from "./held-buffers.js";

/** A TLS connection that is told to stop still emits what it has already received: at most this much. */
const AFTER_STOP_BYTES = 128 * 1024;
/** Maximum size of a TLS record's data. */
const RECORD_BYTES = 16 * 1024;

export interface ReadsConsumer {
  /** Gets what was read. The memory is free after this call or, if it pauses the reads, after `resume`. */
  take(bytes: Buffer): void;
  /** The connection must not be read before `drained`. */
  hold(): void;
  /** Everything that was read is taken. The connection may be read on, or has ended. */
  drained(): void;
  /** The connection was read in spite of a pause: bytes that may still be in use are lost. */
  overrun(): void;
}

/** Begins paused: reads ahead up to one buffer. */
export class ReusedReads {
  readonly #held: HeldBuffers;
  readonly #joinReads: boolean;
  readonly #consumer: ReadsConsumer;
  /** The part of the buffer that is read but not taken. What is before it may still be in use. */
  #start = 0;
  #end = 0;
  /** Bytes for which the buffer has no room: most are copies of what a TLS connection has emitted in spite of a pause. */
  readonly #overflow: Buffer[] = [];
  /** Where the next bytes are read to. Decided directly after the last read. */
  #room: Buffer;
  /** The buffer that the room is part of, and where the room begins in it; undefined if the room is memory of its own. */
  #roomBuffer: Buffer | undefined;
  #roomStart = 0;
  #paused = true;
  #isInUse = false;
  #isGoing = false;
  #hasLeft = false;
  #due: NodeJS.Immediate | undefined;

  /** @param joinReads for TLS, where each read is a record of at most 16 KiB: those of one turn of the event loop are taken together. */
  constructor(memory: ReadMemory, joinReads: boolean, consumer: ReadsConsumer) {
    this.#held = new HeldBuffers(memory);
    this.#joinReads = joinReads;
    this.#consumer = consumer;
    this.#room = this.#held.current;
  }

  /** Whether bytes were read but not taken. */
  get hasUntaken(): boolean {
    return this.#start < this.#end || this.#overflow.length > 0;
  }

  /** Whether {@link leave} was called. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** @param bytes that were read before; copied. @returns whether to read on. */
  put(bytes: Buffer): boolean {
    const room = this.#held.current.length - this.#end;
    if (bytes.length >= room) this.#overflow.push(Buffer.from(bytes));
    else this.#store(bytes);
    if (!this.#paused) this.#goOn();
    return this.wantsMore;
  }

  /** @returns where to read to. Call it before the first read and after each read. */
  nextRoom(): Buffer {
    const { current } = this.#held;
    const isWhole = this.#hasLeft || (this.#isInUse && !this.#joinReads);
    const start = isWhole ? 0 : this.#end;
    const hasRoom = start < current.length;
    this.#roomBuffer = hasRoom ? current : undefined;
    this.#roomStart = start;
    if (!hasRoom) this.#room = Buffer.allocUnsafe(RECORD_BYTES);
    else this.#room = start === 0 ? current : current.subarray(start);
    return this.#room;
  }

  /** @param bytes number of bytes read into the last {@link nextRoom}. @returns whether to read on. */
  onRead(bytes: number): boolean {
    if (this.#hasLeft) {
      this.#consumer.take(this.#room.subarray(0, bytes));
      return true;
    }
    if (this.#isInUse && !this.#joinReads) {
      this.#consumer.overrun();
      return false;
    }
    if (this.#isInPlace && this.#mayStore) this.#end += bytes;
    else this.#store(this.#room.subarray(0, bytes));
    if (!this.#joinReads) this.#goOn();
    else if (!this.#paused) this.#due ??= setImmediate(this.#onDue);
    return this.wantsMore;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (!this.hasUntaken) return this.#goOn();
    this.#consumer.hold();
    process.nextTick(this.#onDue);
  }

  /** Calls {@link ReadsConsumer.drained} if nothing is left to take. */
  check(): void {
    this.#goOn();
  }

  /** What follows is read into memory that nobody keeps, and taken at once. Take the next room before the next read. Call it once. */
  leave(discard: Buffer): void {
    this.#hasLeft = true;
    if (this.#start < this.#end) this.#overflow.unshift(this.#held.current.subarray(this.#start, this.#end));
    this.#start = this.#end = 0;
    this.#held.current = discard;
  }

  /** Gives the buffers back, for another connection. */
  release(): void {
    this.#held.release();
  }

  /** Drops the buffers, because their bytes may still be queued for writing. */
  letGo(): void {
    this.#held.letGo();
  }

  /** Nothing more is taken. */
  stop(): void {
    this.pause();
    clearImmediate(this.#due);
    this.#overflow.length = 0;
    this.#start = this.#end;
  }

  /** Whether the last bytes were read to where they belong. The first ones after a pause were not. */
  get #isInPlace(): boolean {
    return this.#roomBuffer === this.#held.current && this.#roomStart === this.#end;
  }

  /** Whether the buffer takes the next bytes: it is free, and no earlier bytes are waiting elsewhere. */
  get #mayStore(): boolean {
    return !this.#isInUse && this.#overflow.length === 0;
  }

  #store(read: Buffer): void {
    const { current } = this.#held;
    if (!this.#mayStore || read.length > current.length - this.#end) this.#overflow.push(Buffer.from(read));
    else this.#end += read.copy(current, this.#end);
  }

  /** Whether the connection may be read now. */
  get wantsMore(): boolean {
    const room = this.#held.current.length - this.#end;
    return !(this.#paused && this.#isInUse) && room > (this.#joinReads ? AFTER_STOP_BYTES : 0);
  }

  readonly #onDue = (): void => {
    this.#due = undefined;
    this.#goOn();
  };

  /** Does nothing if it is running: the consumer may pause and resume. */
  #goOn(): void {
    if (this.#isGoing) return;
    this.#isGoing = true;
    try {
      while (!this.#paused && this.#step());
    } finally {
      this.#isGoing = false;
    }
  }

  /** @returns whether another step may follow now. */
  #step(): boolean {
    this.#isInUse = false;
    const bytes = this.#next();
    if (bytes === undefined) {
      this.#consumer.drained();
      return false;
    }
    this.#isInUse = true;
    this.#consumer.take(bytes);
    return true;
  }

  /** @returns the next bytes to take. If there are none, the whole buffer is free. */
  #next(): Buffer | undefined {
    if (this.#start === this.#end) {
      if (!this.#hasLeft) this.#start = this.#end = 0;
      return this.#overflow.shift();
    }
    const bytes = this.#held.current.subarray(this.#start, this.#end);
    this.#start = this.#end;
    if (this.#held.grow(bytes.length)) this.#start = this.#end = 0;
    return bytes;
  }
}
