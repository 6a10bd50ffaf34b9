/** Intercepts `_write` and `_writev` of a connection, which only Node's streams call. */
import type { Duplex } from "node:stream";

export type WriteCallback = (error?: Error | null) => void;

export interface WriteInterceptor {
  /** Called with each piece before it is written. If it throws, the piece is not written and the connection is destroyed. */
  readonly check?: (chunk: Buffer | string, encoding: BufferEncoding) => void;
  /** Wraps the callback that reports the end of a write to Node. */
  readonly report?: (callback: WriteCallback) => WriteCallback;
}

interface Piece {
  readonly chunk: Buffer | string;
  readonly encoding: BufferEncoding;
}

interface Writes {
  _write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void;
  _writev?: ((pieces: readonly Piece[], callback: WriteCallback) => void) | null;
}

export function interceptWrites<Connection extends Duplex>(
  connection: Connection,
  { check, report = (callback) => callback }: WriteInterceptor,
): Connection {
  const writes = connection as unknown as Writes;
  const write = writes._write.bind(connection);
  const writeMany = writes._writev?.bind(connection);
  writes._write = (chunk, encoding, callback) => {
    try {
      check?.(chunk, encoding);
    } catch (error) {
      return callback(error as Error);
    }
    write(chunk, encoding, report(callback));
  };
  if (writeMany) {
    writes._writev = (pieces, callback) => {
      try {
        if (check) for (const { chunk, encoding } of pieces) check(chunk, encoding);
      } catch (error) {
        return callback(error as Error);
      }
      writeMany(pieces, report(callback));
    };
  }
  return connection;
}
