/**
 * Makes an accepted socket read into a given buffer, as `new Socket({ onread })` does for outgoing sockets. Node has no public API for
 * that. `self-check.ts` tests this one at the start.
 */
import { Socket } from "node:net";
import { Readable } from "node:stream";

/**
 * Makes the socket read into `room()` from now on. `room` is called now and after each `onRead`, which returns whether to continue
 * reading. Node keeps a little memory for each call until the connection closes, so do not call it for each read.
 */
export type ReadInto = (socket: Socket, room: () => Buffer, onRead: (bytes: number) => boolean) => void;

/** @throws Error if this Node does not support it. */
export function findReadInto(): ReadInto {
  const options: object = { onread: { buffer: Buffer.alloc(1), callback: () => true } }; // not in the types
  const model = new Socket(options);
  const symbols = Object.getOwnPropertySymbols(model);
  const [bufferKey, callbackKey, nextKey] = ["kBuffer", "kBufferCb", "kBufferGen"].map((name) => {
    const key = symbols.find(({ description }) => description === name);
    if (key === undefined) throw new Error(`net.Socket has no ${name}`);
    return key;
  }) as [symbol, symbol, symbol];
  return (socket, room, onRead) => {
    const hidden = socket as unknown as {
      [key: symbol]: unknown;
      _handle: { useUserBuffer(buffer: Buffer): void } | null;
    };
    if (hidden._handle === null) return; // closed
    // Reads only after `resume`. Otherwise the stream would also read ahead after a push.
    socket._read = readNothing;
    socket.read = readKept;
    const buffer = room();
    hidden[bufferKey] = buffer;
    hidden[callbackKey] = onRead;
    hidden[nextKey] = room;
    hidden._handle.useUserBuffer(buffer);
  };
}

function readNothing(): void {}

function readKept(this: Socket, size?: number): unknown {
  return Readable.prototype.read.call(this, size);
}
