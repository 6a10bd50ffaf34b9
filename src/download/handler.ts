/** Downloads of image data: large answers, so they are read into reused memory. */
import type { Exchange } from "../client/exchange.js";
import type { PassThroughOptions } from "../pass-through/pass-through.js";
import { RoundTrip } from "../pass-through/round-trip.js";
import { malformedBody } from "../vocabulary/errors.js";

/** Handles a GET without a body. Resolves when the response is closed. @throws ProxyError if Glance gives no answer. */
export type Download = (exchange: Exchange, path: string) => Promise<void>;

export function createDownload(options: PassThroughOptions): Download {
  return (exchange, path) => {
    if (exchange.body.malformed) return Promise.reject(malformedBody());
    exchange.sendContinue();
    const opened = options.upstream.requestRaw(path, exchange.upstreamHeaders());
    const { request } = opened;
    return new Promise((resolve, onFailure) => {
      const trip = new RoundTrip({ ...options, exchange, onFailure });
      exchange.response.once("close", () => {
        trip.end();
        resolve();
      });
      request.on("error", (error) => trip.fail(error));
      request.once("response", (answer) => trip.answered(answer, () => opened.claim(answer)));
      trip.opened(request);
      trip.watchBody();
      request.end();
    });
  };
}
