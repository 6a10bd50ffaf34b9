/**
 * Finds the end of a request's body, and separates data from framing (RFC 9112, sections 6 and 7.1). Accepts nothing that Node's parser
 * refuses: a test compares the two. Pure.
 */
export interface BodyFraming {
  readonly ended: boolean;
  /** The trailers read so far, as Node's flat list: name, value, name, value ... */
  readonly trailers: readonly string[];
  /**
   * Calls `onPiece` with each part of the body in `bytes`, not copied.
   * @returns the number of bytes read: all, unless the body ends earlier.
   * @throws BadFraming
   */
  read(bytes: Buffer, onPiece: (piece: Buffer) => void): number;
}

export class BadFraming extends Error {}

const NO_TRAILERS: readonly string[] = [];

/** A body of `Content-Length`. */
export class LengthFraming implements BodyFraming {
  readonly trailers = NO_TRAILERS;

  constructor(private left: number) {}

  get ended(): boolean {
    return this.left === 0;
  }

  read(bytes: Buffer, onPiece: (piece: Buffer) => void): number {
    const piece = bytes.length <= this.left ? bytes : bytes.subarray(0, this.left);
    this.left -= piece.length;
    if (piece.length > 0) onPiece(piece);
    return piece.length;
  }
}

const LF = 0x0a;
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"[\\t\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]*"';
/** The size, then extensions, which are ignored. */
const SIZE_LINE = new RegExp(`^([0-9A-Fa-f]{1,14})(?:;${TOKEN}(?:=(?:${TOKEN}|${QUOTED}))?)*\r\n$`);
const TRAILER_LINE = new RegExp(`^(${TOKEN}):([\t\\x20-\\x7e\\x80-\\xff]*)\r\n$`);
/** Not allowed in trailers: they would change the framing of a message that has ended. */
const FRAMING_FIELDS = new Set(["connection", "content-length", "transfer-encoding", "upgrade"]);
const EMPTY_LINE = "\r\n";

const MAX_SIZE_LINE_BYTES = 256;
const MAX_TRAILER_BYTES = 8 * 1024;

/** A chunked body. */
export class ChunkedFraming implements BodyFraming {
  /** What the next bytes are. */
  #next: "size" | "data" | "end of data" | "trailer" | "nothing" = "size";
  /** Remaining data bytes of this chunk. */
  #left = 0;
  /** Start of an incomplete line. */
  #line = "";
  #trailerBytes = 0;
  #trailers: string[] | undefined;

  get ended(): boolean {
    return this.#next === "nothing";
  }

  get trailers(): readonly string[] {
    return this.#trailers ?? NO_TRAILERS;
  }

  read(bytes: Buffer, onPiece: (piece: Buffer) => void): number {
    let at = 0;
    while (at < bytes.length && this.#next !== "nothing") {
      if (this.#next === "data") {
        const piece = bytes.subarray(at, at + this.#left);
        at += piece.length;
        this.#left -= piece.length;
        if (this.#left === 0) this.#next = "end of data";
        onPiece(piece);
      } else {
        const most = this.#longestLine() - this.#line.length;
        const lf = bytes.subarray(at, at + most).indexOf(LF);
        const end = lf === -1 ? Math.min(bytes.length, at + most) : at + lf + 1;
        this.#line += bytes.toString("latin1", at, end);
        if (lf === -1 && end - at === most) throw new BadFraming(`${this.#next}: too long`);
        at = end;
        if (lf !== -1) this.#readLine();
      }
    }
    return at;
  }

  #longestLine(): number {
    switch (this.#next) {
      case "size":
        return MAX_SIZE_LINE_BYTES;
      case "trailer":
        return MAX_TRAILER_BYTES - this.#trailerBytes;
      default:
        return EMPTY_LINE.length;
    }
  }

  #readLine(): void {
    const line = this.#line;
    this.#line = "";
    if (this.#next === "size") {
      const digits = SIZE_LINE.exec(line)?.[1];
      this.#left = Number.parseInt(digits ?? "", 16);
      if (!Number.isSafeInteger(this.#left)) throw new BadFraming("size: not a number of bytes");
      this.#next = this.#left === 0 ? "trailer" : "data";
    } else if (line === EMPTY_LINE) {
      this.#next = this.#next === "trailer" ? "nothing" : "size";
    } else {
      const [, name, value = ""] = (this.#next === "trailer" ? TRAILER_LINE.exec(line) : undefined) ?? [];
      if (name === undefined || FRAMING_FIELDS.has(name.toLowerCase())) {
        throw new BadFraming(`${this.#next}: malformed`);
      }
      this.#trailerBytes += line.length;
      (this.#trailers ??= []).push(name, withoutBlanks(value));
    }
  }
}

/** Removes blanks at both ends. Not a regular expression: its time would grow with the square of the blanks inside a value. */
function withoutBlanks(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isBlank(value.charCodeAt(start))) start += 1;
  while (end > start && isBlank(value.charCodeAt(end - 1))) end -= 1;
  return value.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
