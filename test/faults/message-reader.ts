/** Reads a request as raw bytes, with no parser that could be kinder than Glance's. */
export class MessageReader {
  /** Without its last line end; absent until it is whole. */
  head: string | undefined;
  /** After transfer-decoding. */
  bodyBytes = 0;
  /** Whether Glance might take what has come for the whole request. */
  complete = false;

  #rest: Buffer = Buffer.alloc(0);
  /** Bytes missing of the current chunk, and of the line end behind it. */
  #chunk = 0;
  #lineEnd = 0;

  /** `Content-Length`. */
  get length(): number | undefined {
    const text = this.header("content-length");
    return text === undefined ? undefined : Number(text);
  }

  header(name: string): string | undefined {
    return new RegExp(`^${name}: *(.*)$`, "im").exec(this.head ?? "")?.[1]?.trim();
  }

  push(piece: Buffer): void {
    this.#rest = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    if (this.head === undefined) {
      const end = this.#rest.indexOf("\r\n\r\n");
      if (end < 0) return;
      this.head = this.#take(end + 4).toString("latin1");
    }
    if (this.header("transfer-encoding") !== undefined) return this.#readChunks();
    this.bodyBytes += this.#take(this.#rest.length).length;
    this.complete = this.bodyBytes >= (this.length ?? 0);
  }

  #readChunks(): void {
    while (this.#rest.length > 0 && !this.complete) {
      if (this.#chunk > 0) {
        const { length } = this.#take(this.#chunk);
        this.#chunk -= length;
        this.bodyBytes += length;
      } else if (this.#lineEnd > 0) {
        this.#lineEnd -= this.#take(this.#lineEnd).length;
      } else if (this.#rest[0] === 0x30) {
        // Eventlet makes an image active at a lone `0`, without any line end behind it.
        this.complete = true;
      } else {
        const end = this.#rest.indexOf("\r\n");
        if (end < 0) return;
        this.#chunk = parseInt(this.#take(end + 2).toString("latin1"), 16);
        this.#lineEnd = 2;
      }
    }
  }

  #take(most: number): Buffer {
    const taken = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(most);
    return taken;
  }
}
