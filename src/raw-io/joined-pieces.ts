/** Separates data from framing in a buffer that the caller owns. Pure. */
import type { BodyFraming } from "./body-framing.js";

/** Smaller pieces are joined, because each piece is a write. */
const SMALL_BYTES = 4 * 1024;

/**
 * Calls `onPiece` with the data in `bytes`. If the framing cuts the data into small pieces, they are moved together: over framing that is
 * already read.
 * @throws BadFraming; pieces before the fault are lost.
 */
export function readJoined(framing: BodyFraming, bytes: Buffer, onPiece: (piece: Buffer) => void): void {
  // Adjacent data that is not passed on yet.
  let start = 0;
  let end = 0;
  const tell = (): void => void (end > start && onPiece(bytes.subarray(start, end)));
  framing.read(bytes, (piece) => {
    const at = piece.byteOffset - bytes.byteOffset;
    if (piece.length < SMALL_BYTES) {
      bytes.copyWithin(end, at, at + piece.length);
      end += piece.length;
    } else {
      tell();
      start = at;
      end = at + piece.length;
    }
  });
  tell();
}
