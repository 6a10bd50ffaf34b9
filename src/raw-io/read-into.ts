/**
 * Makes an accepted socket read into a given buffer, as `new Socket({ onread })` does for outgoing sockets. Node has no public API for
 * that. `self-check.ts` tests this one at the start.
 */
import { Socket } from "node:net";
import { Readable } from "node:stream";

/** Makes the socket read into `buffer` from now on. `onRead` returns whether to continue reading. */
export type ReadInto = (
  socket: Socket,
  buffer: Buffer,
  onRead: (bytes: number, buffer: Buffer) => boolean,
) => void;

/** @throws Error if this Node does not support it. */
export function findReadInto(): ReadInto {
  const options: object = { onread: { buffer: Buffer.alloc(1), callback: () => true } }; // not in the types
  const model = new Socket(options);
  const symbols = Object.getOwnPropertySymbols(model);
  const [bufferKey, callbackKey] = ["kBuffer", "kBufferCb"].map((name) => {
    const key = symbols.find(({ description }) => description === name);
    if (key === undefined) throw new Error(`net.Socket has no ${name}`);
    return key;
  }) as [symbol, symbol];
  return (socket, buffer, onRead) => {
    const hidden = socket as unknown as {
      [key: symbol]: unknown;
      _handle: { useUserBuffer(buffer: Buffer): void } | null;
    };
    if (hidden._handle === null) return; // closed
    // Reads only after `resume`. Otherwise the stream would also read ahead after a push.
    socket._read = () => undefined;
    socket.read = (size) => Readable.prototype.read.call(socket, size) as unknown;
    hidden[bufferKey] = buffer;
    hidden[callbackKey] = onRead;
    hidden._handle.useUserBuffer(buffer);
  };
}
