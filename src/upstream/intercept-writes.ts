/** The one place that reaches below `write` of a connection, into what Node's streams call and their users never do. */
import type { Duplex } from "node:stream";

export type WriteCallback = (error?: Error | null) => void;

export interface WriteInterceptor {
  /** Called with each piece before it goes out. What it throws destroys the connection, and the piece does not go out. */
  readonly check?: (chunk: Buffer | string, encoding: BufferEncoding) => void;
  /** Stands between a write that has ended and Node. */
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
