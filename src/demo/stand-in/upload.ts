/** Reads the body of one upload or staging into an image. */
import { type Exchange, answer, brokenUpload, requireOctetStream } from "./exchange.js";
import type { Images, Reception } from "./images.js";
import type { UploadRecord } from "./observed.js";

/**
 * Settles when the upload has been answered.
 * @throws Refusal whose answer is still to be written
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
  // eventlet's way: the 100 goes out at the first read of the body, when the image has its new status already.
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

/** False if the body broke off. */
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
    // Half-closed connections are not reported by the request itself, as its socket stays open.
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
