/** `halfClosed`: the client has closed its sending side before the end. A listener must answer; without one the connection is closed. */
type BodyEvent = "end" | "close" | "malformed" | "halfClosed";

/** A client's body: Node's `IncomingMessage`, or a `RawBody`. */
export interface Body {
  /** The client has sent the whole body. */
  readonly complete: boolean;
  /** `end` has been emitted. */
  readonly readableEnded: boolean;
  readonly destroyed: boolean;
  /** The trailers of a chunked body, once it has ended. A flat list: name, value, name, value ... */
  readonly rawTrailers: readonly string[];
  /** The bytes are not a valid body, for example because of a malformed chunk. */
  readonly malformed?: boolean | undefined;
  /**
   * Set only if the buffers of `data` are reused after `resume`. Call it if earlier buffers may still be in a write queue: later data goes
   * to another buffer. If it is called before `end`, the old buffers are never reused.
   */
  readonly stopReusing?: (() => void) | undefined;
  /** Set if `stopReusing` is. Call it after `end`, when no piece is needed any more, so that another body can use the buffers. */
  readonly release?: (() => void) | undefined;
  on(event: "data", listener: (piece: Buffer) => void): this;
  /** `malformed` is emitted when {@link malformed} becomes true, and again when more bytes arrive. */
  on(event: BodyEvent, listener: () => void): this;
  once(event: BodyEvent, listener: () => void): this;
  off(event: "data", listener: (piece: Buffer) => void): this;
  off(event: BodyEvent, listener: () => void): this;
  pause(): unknown;
  resume(): unknown;
}

/** How a body is framed in HTTP/1.1. */
export type Framing = "content-length" | "chunked";

/** Hashes a body after transfer-decoding. */
export interface BodyHasher {
  /** Call it once with each piece, in order. The piece is not needed afterwards. */
  update(piece: Buffer): void;
}

/** Counts a body after transfer-decoding. */
export interface ByteCounter {
  /** Bytes counted so far. */
  readonly receivedBytes: number;
  received(bytes: number): void;
  forwarded(bytes: number): void;
  /** Counts the rest of the body as discarded. */
  discardFrom(source: Body): void;
}
