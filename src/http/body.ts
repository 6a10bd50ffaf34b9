/** `halfClosed`: the client has closed its side before the end. Whoever listens answers; if nobody does, the connection is closed. */
type BodyEvent = "end" | "close" | "malformed" | "halfClosed";

/** A client's body, as it is read. Node's own `IncomingMessage` is one; `RawBody` is the other. */
export interface Body {
  /** The client has sent all of it. */
  readonly complete: boolean;
  /** `end` has been emitted. */
  readonly readableEnded: boolean;
  readonly destroyed: boolean;
  /** What came is not a body: a malformed chunk, for example. Nothing after it can be read as one. */
  readonly malformed?: boolean | undefined;
  /**
   * Present where pieces lie in memory that is read into again after `resume`. Called, it leaves that memory alone, for writes
   * that nobody waits for any more; what still comes is read elsewhere. Before `end` it leaves it for good.
   */
  readonly renew?: (() => void) | undefined;
  /** Present where `renew` is. Called after `end`, when no piece is needed any more: the memory may serve another body. */
  readonly release?: (() => void) | undefined;
  on(event: "data", listener: (piece: Buffer) => void): this;
  /** `malformed` is emitted when {@link malformed} becomes true, and again for whatever the client then sends. */
  on(event: BodyEvent, listener: () => void): this;
  once(event: BodyEvent, listener: () => void): this;
  off(event: "data", listener: (piece: Buffer) => void): this;
  off(event: BodyEvent, listener: () => void): this;
  pause(): unknown;
  resume(): unknown;
}

/** How a body is framed in HTTP/1.1. */
export type Framing = "content-length" | "chunked";

/** Counts a body after transfer-decoding. */
export interface ByteCounter {
  /** So far. */
  readonly receivedBytes: number;
  received(bytes: number): void;
  forwarded(bytes: number): void;
  /** Counts what comes from now on as read, though for nothing; whoever answers relies on the count. */
  discardFrom(source: Body): void;
}
