/** Reads the body of one upload to `/file` or `/stage` into an image. */
import { answer, brokenUpload, type Exchange, requireOctetStream } from "./exchange.js";
import type { Images, Reception } from "./images.js";
import type { UploadRecord } from "./observed.js";

/**
 * Resolves when the upload has been answered.
 * @throws Refusal that the caller must answer.
 */
export async function receiveUpload(
  exchange: Exchange,
  images: Images,
  record: UploadRecord,
  onChange: () => void,
): Promise<void> {
  let reception;
  try {
    requireOctetStream(exchange.request);
    reception = images.receive(record.imageId, record.operation);
  } catch (error) {
    record.end("refused");
    onChange();
    throw error;
  }
  onChange();
  // As eventlet does: it sends 100 at the first read of the body. The image has its new status by then.
  if (exchange.awaitsContinue) {
    exchange.awaitsContinue = false;
    exchange.response.writeContinue();
  }
  try {
    if (!(await readWhole(exchange, reception, record))) {
      reception.abort();
      throw brokenUpload();
    }
    reception.complete();
  } catch (error) {
    record.end("aborted");
    onChange();
    throw error;
  }
  record.end("completed");
  onChange();
  answer(exchange, 204);
}

/** @returns false if the body broke off. */
function readWhole(exchange: Exchange, reception: Reception, record: UploadRecord): Promise<boolean> {
  const { request } = exchange;
  return new Promise((resolve) => {
    const settle = (whole: boolean): void => {
      request.off("data", onData);
      exchange.onBroken = undefined;
      resolve(whole);
    };
    const onData = (piece: Buffer): void => {
      record.bytesRead += piece.length;
      reception.append(piece);
    };
    // The request has no event for a half-closed connection, because its socket stays open.
    exchange.onBroken = () => {
      settle(false);
    };
    request.on("data", onData);
    request.once("end", () => {
      settle(request.complete);
    });
    request.once("close", () => {
      settle(request.complete);
    });
    request.on("error", () => {
      settle(false);
    });
  });
}
