/**
 * Holds a body of unknown size until its end: first in memory, then in an unlinked temporary file, whose space the system frees even if
 * the process crashes. The creator must call `close`.
 */
import { randomUUID } from "node:crypto";
import { accessSync, constants } from "node:fs";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../../config/config-error.js";
import type { SpoolBound } from "../../vocabulary/labels.js";
import type { SpoolBudget } from "./budget.js";
import { ByteQueue } from "./byte-queue.js";

/** Bytes per read from the file. The next read runs while one is sent. */
const READ_BYTES = 256 * 1024;

export interface SpoolOptions {
  /** Directory of the file. */
  readonly dir: string;
  /** Bytes held in memory before the file is used, and while it is written. */
  readonly memoryBytes: number;
  /** Bytes; 0: no limit. */
  readonly maxPerUploadBytes: number;
}

/** Why a piece of the body could not be stored. */
export interface SpoolRefusal {
  readonly full: SpoolBound;
  /** Whether the piece is in memory nevertheless: true if the disk failed, false if a limit was reached. */
  readonly kept: boolean;
  /** Error of the disk. */
  readonly cause?: unknown;
}

export class Spool {
  #sizeBytes = 0;
  #reservedBytes = 0;
  /** The bytes after those in the file. */
  readonly #memory = new ByteQueue();
  #file: FileHandle | undefined;
  #fileBytes = 0;
  /** The write in progress; never rejects. */
  #flushing: Promise<void> | undefined;
  /** Error of the file. All bytes that are not in the file are in memory. */
  #failure: Error | undefined;
  #closed = false;

  constructor(
    private readonly options: SpoolOptions,
    private readonly budget: SpoolBudget,
  ) {
    budget.uploadStarted();
  }

  /**
   * Copies a piece of the body. The caller must wait for one call before the next.
   *
   * @returns undefined if the piece is stored; a promise if that takes time: the piece must stay unchanged until then.
   */
  append(piece: Buffer): SpoolRefusal | undefined | Promise<SpoolRefusal | undefined> {
    const { maxPerUploadBytes } = this.options;
    if (maxPerUploadBytes > 0 && this.#sizeBytes + piece.length > maxPerUploadBytes)
      return { full: "per_upload", kept: false };
    const reserved = this.budget.reserve(piece.length);
    return reserved instanceof Promise
      ? reserved.then((isReserved) => this.#take(piece, isReserved))
      : this.#take(piece, reserved);
  }

  /** All stored bytes, from the start. Each piece is valid until the next one is requested. @throws Error if the file cannot be read. */
  async *read(): AsyncGenerator<Buffer, void, undefined> {
    await this.#flushing;
    this.#memory.trim();
    const bytes = Math.min(READ_BYTES, this.#fileBytes);
    let [reading, sent] = [Buffer.allocUnsafeSlow(bytes), Buffer.allocUnsafeSlow(bytes)];
    let next = this.#readAt(0, reading);
    for (let at = 0; at < this.#fileBytes;) {
      const piece = await next;
      at += piece.length;
      [reading, sent] = [sent, reading];
      next = this.#readAt(at, reading);
      next.catch(() => undefined); // if nobody reads on, nobody needs the error
      yield piece;
    }
    yield* this.#memory.pieces();
  }

  /** Frees memory, file and reservation. May be called at any time, more than once. Never rejects. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#flushing; // otherwise a file that is being opened would stay open
    this.#memory.clear();
    // An error at this point loses nothing: the bytes were sent or are no longer needed.
    await this.#file?.close().catch(() => undefined);
    this.budget.release(this.#reservedBytes);
    this.budget.uploadEnded();
  }

  #take(piece: Buffer, isReserved: boolean): SpoolRefusal | undefined | Promise<SpoolRefusal | undefined> {
    if (!isReserved) return { full: "total", kept: false };
    if (this.#closed) {
      this.budget.release(piece.length);
      return undefined;
    }
    this.#reservedBytes += piece.length;
    this.#sizeBytes += piece.length;
    this.#memory.push(piece);
    if (this.#failure) return this.#diskFull();
    if (this.#memory.length > this.#flushAbove) this.#flush();
    return this.#memory.length > this.options.memoryBytes
      ? this.#flushing?.then(() => this.#diskFull())
      : undefined;
  }

  #diskFull(): SpoolRefusal | undefined {
    return this.#failure && { full: "disk", kept: true, cause: this.#failure };
  }

  /** Bytes per write. The memory is filled before a file is opened. Then one half is written while the other half fills. */
  get #flushAbove(): number {
    return this.#file ? this.options.memoryBytes / 2 : this.options.memoryBytes;
  }

  #flush(): void {
    this.#flushing ??= this.#write()
      .catch((error: unknown) => {
        this.#failure = error as Error;
      })
      .finally(() => {
        this.#flushing = undefined;
      });
  }

  async #write(): Promise<void> {
    this.#file ??= await openUnnamed(this.options.dir);
    while (this.#memory.length > this.#flushAbove && !this.#closed) {
      const { bytesWritten } = await this.#file.writev(this.#memory.pieces(), this.#fileBytes);
      if (bytesWritten === 0) throw new Error("no bytes could be written");
      this.#fileBytes += bytesWritten;
      this.#memory.shift(bytesWritten);
    }
  }

  /** @returns undefined at the end. */
  async #readAt(at: number, into: Buffer): Promise<Buffer> {
    const length = Math.min(into.length, this.#fileBytes - at);
    if (length === 0) return Buffer.alloc(0);
    const { bytesRead } = (await this.#file?.read(into, 0, length, at)) ?? { bytesRead: 0 };
    if (bytesRead === 0) throw new Error(`the spool file ends at ${at} of ${this.#fileBytes} bytes`);
    return into.subarray(0, bytesRead);
  }
}

/** Tests at the start whether a file can be created. @throws ConfigError if not. */
export function requireSpoolDir(dir: string): void {
  try {
    accessSync(dir, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ConfigError([
      `spool.dir: ${JSON.stringify(dir)}: cannot be written to (${code}): must be a writable directory`,
    ]);
  }
}

/** Unlinked before the first byte is written: nothing is left behind, and nobody else can open the file. */
async function openUnnamed(dir: string): Promise<FileHandle> {
  const path = join(dir, `glance-size-proxy-${randomUUID()}`);
  const file = await open(path, "wx+", 0o600);
  try {
    await unlink(path);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
