/** The data of one image: counted and hashed, and kept in memory if the common budget allows. */
import { createHash } from "node:crypto";

/** Limits the memory that all images of one stand-in use together, bytes. */
export class MemoryBudget {
  #free: number;

  constructor(sizeBytes: number) {
    this.#free = sizeBytes;
  }

  take(sizeBytes: number): boolean {
    if (sizeBytes > this.#free) return false;
    this.#free -= sizeBytes;
    return true;
  }

  giveBack(sizeBytes: number): void {
    this.#free += sizeBytes;
  }
}

export class Content {
  readonly #budget: MemoryBudget;
  readonly #md5 = createHash("md5");
  readonly #sha512 = createHash("sha512");
  #kept: Buffer[] | undefined = [];
  #keptBytes = 0;
  sizeBytes = 0;

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  append(piece: Buffer): void {
    this.sizeBytes += piece.length;
    this.#md5.update(piece);
    this.#sha512.update(piece);
    if (this.#kept === undefined) return;
    if (this.#budget.take(piece.length)) {
      this.#kept.push(piece);
      this.#keptBytes += piece.length;
    } else {
      // The data is lost. Its size and hashes are still computed.
      this.discard();
    }
  }

  /** Drops the data and returns its memory to the budget. */
  discard(): void {
    this.#budget.giveBack(this.#keptBytes);
    this.#keptBytes = 0;
    this.#kept = undefined;
  }

  /** The data appended so far, or undefined if it was discarded or did not fit the budget. */
  get bytes(): Buffer | undefined {
    if (this.#kept === undefined) return undefined;
    if (this.#kept.length > 1) this.#kept = [Buffer.concat(this.#kept)];
    return this.#kept[0] ?? Buffer.alloc(0);
  }

  get md5(): string {
    return this.#md5.copy().digest("hex");
  }

  get sha512(): string {
    return this.#sha512.copy().digest("hex");
  }
}
