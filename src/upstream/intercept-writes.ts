/** Intercepts `_write` and `_writev` of connections, which only Node's streams call. */
import type { Duplex } from "node:stream";

export type WriteCallback = (error?: Error | null) => void;

export interface WriteInterceptor<Connection> {
  /** Called with each piece before it is written. If it throws, the piece is not written and the connection is destroyed. */
  check?(connection: Connection, chunk: Buffer | string, encoding: BufferEncoding): void;
  /** Wraps the callback that reports the end of a write to Node. */
  report?(connection: Connection, callback: WriteCallback): WriteCallback;
}

interface Piece {
  readonly chunk: Buffer | string;
  readonly encoding: BufferEncoding;
}

interface Writes {
  _write: (chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback) => void;
  _writev?: ((pieces: readonly Piece[], callback: WriteCallback) => void) | null;
}

/**
 * @param target a connection, or the prototype of connections. Prefer a prototype: functions that are set on each connection cost V8 a
 * quarter of a small request's CPU time.
 */
export function interceptWrites<Connection extends Duplex>(
  target: Connection,
  interceptor: WriteInterceptor<Connection>,
): Connection {
  const writes = target as unknown as Writes;
  const { _write: write, _writev: writeMany } = writes;
  const report = (connection: Connection, callback: WriteCallback): WriteCallback =>
    interceptor.report?.(connection, callback) ?? callback;
  writes._write = function (this: Connection & Writes, chunk, encoding, callback) {
    try {
      interceptor.check?.(this, chunk, encoding);
    } catch (error) {
      return callback(error as Error);
    }
    write.call(this, chunk, encoding, report(this, callback));
  };
  if (writeMany) {
    writes._writev = function (this: Connection & Writes, pieces, callback) {
      try {
        for (const { chunk, encoding } of pieces) interceptor.check?.(this, chunk, encoding);
      } catch (error) {
        return callback(error as Error);
      }
      writeMany.call(this, pieces, report(this, callback));
    };
  }
  return target;
}
