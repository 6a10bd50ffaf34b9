/**
 * Keeps a body of unknown size until its size is known: in memory at first, then in a file that has no name any more, so that
 * its space is given back however the process ends. Whoever makes one has to `close` it.
 */
import { accessSync, constants } from "node:fs";
import { randomUUID } from "node:crypto";
import { open, unlink, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../../config/config-error.js";
import { ByteQueue } from "./byte-queue.js";
import type { SpoolBudget } from "./budget.js";
import type { SpoolBound } from "../../vocabulary/labels.js";

/** Bytes read from the file at once: while one is sent, the next is read. */
const READ_BYTES = 256 * 1024;

export interface SpoolOptions {
  /** Where the file is. */
  readonly dir: string;
  /** Bytes kept in memory before any go to the file, and while it is written. */
  readonly memory: number;
  /** Bytes; 0: no limit. */
  readonly maxPerUpload: number;
}

/** Why there is no place for a piece of the body. */
export interface NoPlace {
  readonly full: SpoolBound;
  /** A piece that is not taken for want of a reservation is not kept; one that the disk has no room for is. */
  readonly kept: boolean;
  /** Of the disk. */
  readonly cause?: unknown;
}

export class Spool {
  #sizeBytes = 0;
  #reservedBytes = 0;
  /** What follows the file's content. */
  readonly #memory = new ByteQueue();
  #file: FileHandle | undefined;
  #fileBytes = 0;
  /** The writing that is going on; never rejects. */
  #flushing: Promise<void> | undefined;
  /** Why the file could not be written; what is not in it is in memory. */
  #failure: Error | undefined;
  #closed = false;

  constructor(
    private readonly options: SpoolOptions,
    private readonly budget: SpoolBudget,
  ) {
    budget.uploadStarted();
  }

  /**
   * Copies a piece of the body. Never two at once.
   *
   * @returns undefined where there was a place for it; a promise where that has to be waited for, and the piece with it.
   */
  append(piece: Buffer): NoPlace | undefined | Promise<NoPlace | undefined> {
    const { maxPerUpload } = this.options;
    if (maxPerUpload > 0 && this.#sizeBytes + piece.length > maxPerUpload)
      return { full: "per_upload", kept: false };
    const reserved = this.budget.reserve(piece.length);
    return reserved instanceof Promise
      ? reserved.then((isReserved) => this.#take(piece, isReserved))
      : this.#take(piece, reserved);
  }

  /** Everything kept, from the beginning. A piece is there until the next is asked for. @throws where the file cannot be read. */
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
      next.catch(() => undefined); // of nobody's interest where nobody reads on
      yield piece;
    }
    yield* this.#memory.pieces();
  }

  /** Gives memory, file and reservation back. May be called at any time, and more than once. Never rejects. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#flushing; // or a file that is being opened would stay open
    this.#memory.clear();
    // A disk that fails only now takes nothing from anybody: what was kept is sent, or given up.
    await this.#file?.close().catch(() => undefined);
    this.budget.release(this.#reservedBytes);
    this.budget.uploadEnded();
  }

  #take(piece: Buffer, isReserved: boolean): NoPlace | undefined | Promise<NoPlace | undefined> {
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
    return this.#memory.length > this.options.memory
      ? this.#flushing?.then(() => this.#diskFull())
      : undefined;
  }

  #diskFull(): NoPlace | undefined {
    return this.#failure && { full: "disk", kept: true, cause: this.#failure };
  }

  /** Bytes. All of the memory is used before there is a file; then one half goes to it while the other fills. */
  get #flushAbove(): number {
    return this.#file ? this.options.memory / 2 : this.options.memory;
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

  /** @returns nothing at the end. */
  async #readAt(at: number, into: Buffer): Promise<Buffer> {
    const length = Math.min(into.length, this.#fileBytes - at);
    if (length === 0) return Buffer.alloc(0);
    const { bytesRead } = (await this.#file?.read(into, 0, length, at)) ?? { bytesRead: 0 };
    if (bytesRead === 0) throw new Error(`the spool file ends at ${at} of ${this.#fileBytes} bytes`);
    return into.subarray(0, bytesRead);
  }
}

/** @throws ConfigError where no file could be made in `spool.dir`: better now than at the first upload. */
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

/** Without a name before the first byte is in it: nothing is left behind, and nobody else can open it. */
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
