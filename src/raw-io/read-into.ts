/**
 * Has a socket that was accepted read into a given buffer, as `new Socket({ onread })` does for one that is opened. Node has no public
 * way; `self-check.ts` tries this one out at the start.
 */
import { Socket } from "node:net";
import { Readable } from "node:stream";

/** Has the socket read into `buffer` from now on; `onRead` returns whether to read on. */
export type ReadInto = (
  socket: Socket,
  buffer: Buffer,
  onRead: (bytes: number, buffer: Buffer) => boolean,
) => void;

/** @throws Error if this Node has no such thing. */
export function findReadInto(): ReadInto {
  const options: object = { onread: { buffer: Buffer.alloc(1), callback: () => true } }; // unknown to its types
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
    // Read only after `resume`: a stream that has just been pushed to would also read ahead by itself.
    socket._read = () => undefined;
    socket.read = (size) => Readable.prototype.read.call(socket, size) as unknown;
    hidden[bufferKey] = buffer;
    hidden[callbackKey] = onRead;
    hidden._handle.useUserBuffer(buffer);
  };
}
