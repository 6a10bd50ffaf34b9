/** The answers that the proxy makes itself, and Glance's answers on their way to the client. */
import { ServerResponse, type IncomingMessage } from "node:http";
import { glanceError, reasonPhrase } from "../glance/error-body.js";
import { toProxyError, type ProxyError } from "../vocabulary/errors.js";
import { isEmpty } from "../http/announced-body.js";
import type { Exchange } from "./exchange.js";
import type { HeaderForwarder } from "../http/forwarded-headers.js";
import { createTimer } from "../http/timer.js";
import type { Linger } from "./linger.js";
import { createRequestHead, linesByName, type RequestHead } from "../http/request-head.js";

export interface Answerer {
  /** Answers with an error in Glance's own shape. The client may still be sending. */
  refuse(exchange: Exchange, refusal: Refusal): void;
  /** Answers an upload as Glance does that has made the image. */
  succeed(exchange: Exchange): void;
  /** Passes Glance's answer on as it comes. */
  relay(exchange: Exchange, answer: IncomingMessage): Promise<RelayedAnswer>;
  /** Passes a short answer on that came while the client is still sending: at once, and with its length. */
  relayEarly(exchange: Exchange, answer: IncomingMessage): Promise<RelayedAnswer>;
}

export interface Refusal {
  readonly error: ProxyError;
  /** Added to the explanation. */
  readonly remark?: string;
}

/** How Glance's answer ended: whole, cut off by Glance, or left by the client. */
export type RelayedAnswer = "whole" | "truncated" | "abandoned";

export interface AnswererOptions {
  readonly forwarder: HeaderForwarder;
  readonly linger: Linger;
  /** `cors.allowedOrigins` */
  readonly allowedOrigins: readonly string[];
  readonly patience: Patience;
}

/** How long a side may make the other wait while an answer is passed on, milliseconds; 0 for ever. */
export interface Patience {
  /** Glance: `upstream.responseTimeout`. */
  readonly silenceMs: number;
  /** The client: `limits.idleTimeout`. */
  readonly idleMs: number;
}

export function createAnswerer({ forwarder, linger, allowedOrigins, patience }: AnswererOptions): Answerer {
  function crossOrigin(head: RequestHead): Record<string, string> {
    const [origin] = head.values("origin");
    if (origin === undefined || !allowedOrigins.includes(origin)) return {};
    return {
      "access-control-allow-origin": origin,
      "access-control-expose-headers": "X-Openstack-Request-Id",
      vary: "Origin",
    };
  }

  function writeHead(response: ServerResponse, answer: IncomingMessage, more: readonly string[] = []): void {
    const headers = forwarder.forResponse(createRequestHead(answer.rawHeaders).lines, answer.httpVersion);
    const lines = [...headers, ...more];
    const status = [answer.statusCode ?? 502, answer.statusMessage ?? ""] as const;
    // Middleware in front of us that wraps `writeHead` may not know flat lists (on-headers before 1.1.0 does not). And if it has set
    // headers of its own, Node 20 would keep only the last of each repeated one.
    const isOurs = response.writeHead === ServerResponse.prototype.writeHead;
    if (isOurs && response.getHeaderNames().length === 0) return void response.writeHead(...status, lines);
    for (const [name, values] of linesByName(createRequestHead(lines).lines))
      response.setHeader(name, values);
    response.writeHead(...status);
  }

  /** Ends an answer that is written, seeing a client that is still sending through to the end of its request. */
  function finish(exchange: Exchange): void {
    const { body, response } = exchange;
    if (isSending(exchange)) {
      response.flushHeaders(); // a head without a body would wait for its end
      linger(body, response);
    } else {
      response.end();
      body.resume();
    }
  }

  return {
    refuse(exchange, { error, remark = "" }) {
      const { request, response, requestId, head } = exchange;
      const accept = head.values("accept").join(", ");
      const { contentType, body } = glanceError(error.status, error.message + remark, accept);
      response.writeHead(error.status, reasonPhrase(error.status), {
        ...crossOrigin(head),
        ...error.headers,
        ...(isSending(exchange) ? { connection: "close" } : {}),
        "content-type": contentType,
        "content-length": Buffer.byteLength(body),
        "x-openstack-request-id": requestId,
      });
      if (request.method !== "HEAD") response.write(body);
      finish(exchange);
    },

    succeed(exchange) {
      const { response, requestId, head } = exchange;
      response.writeHead(204, { ...crossOrigin(head), "x-openstack-request-id": requestId });
      finish(exchange);
    },

    async relay(exchange, answer) {
      const { response } = exchange;
      const relayed = await stream(answer, response, () => writeHead(response, answer), patience);
      if (relayed === "whole") finish(exchange);
      return relayed;
    },

    async relayEarly(exchange, answer) {
      const { response } = exchange;
      const body = await collect(answer, patience.silenceMs);
      if (body === undefined) return "truncated"; // nothing is out yet: the caller can still say so
      const bodiless = answer.statusCode === 204 || answer.statusCode === 304;
      const told = bodiless || answer.headers["content-length"] !== undefined;
      writeHead(response, answer, [
        ...(told ? [] : ["content-length", String(body.length)]),
        ...["connection", "close"],
      ]);
      response.write(body);
      finish(exchange);
      return "whole";
    },
  };
}

/** Whether more of the request may still come. */
function isSending({ body, announced }: Exchange): boolean {
  return !body.complete && !isEmpty(announced);
}

/**
 * Back-pressure on both sides; an answer cut short leaves the client's cut short as well, or, with nothing of it out, unanswered. Does
 * not end the response. By hand: `pipeline` costs a twentieth of a small request.
 *
 * @param writeHead called once, when there is something of the body to go with it, or else a moment later.
 */
function stream(
  answer: IncomingMessage,
  response: ServerResponse,
  writeHead: () => void,
  { silenceMs, idleMs }: Patience,
): Promise<RelayedAnswer> {
  return new Promise((resolve, reject) => {
    const silence = createTimer(silenceMs, () => answer.destroy());
    const idle = createTimer(idleMs, () => response.destroy());
    let hasBegun = false;
    const headAlone = setImmediate(() => {
      if (begin()) response.flushHeaders();
    });
    /** @returns whether there is a head. */
    const begin = (): boolean => {
      if (hasBegun) return true;
      clearImmediate(headAlone);
      try {
        writeHead();
        hasBegun = true;
      } catch (error) {
        reject(toProxyError(error));
        settle("truncated");
      }
      return hasBegun;
    };
    const settle = (relayed: RelayedAnswer): void => {
      clearImmediate(headAlone);
      silence.stop();
      idle.stop();
      answer.off("data", onPiece).off("end", onEnd).off("close", onAnswerClose);
      response.off("drain", onDrain).off("close", onResponseClose);
      if (relayed !== "whole") {
        answer.destroy();
        if (hasBegun) response.destroy();
      }
      resolve(relayed);
    };
    const onPiece = (piece: Buffer): void => {
      if (!begin()) return;
      if (response.write(piece)) return silence.start();
      answer.pause();
      silence.stop();
      idle.start();
    };
    const onDrain = (): void => {
      idle.stop();
      silence.start();
      answer.resume();
    };
    const onEnd = (): void => {
      if (begin()) settle("whole");
    };
    const onAnswerClose = (): void => settle("truncated");
    const onResponseClose = (): void => settle("abandoned");
    answer.on("error", () => undefined); // told by its close
    answer.on("data", onPiece).once("end", onEnd).once("close", onAnswerClose);
    response.on("drain", onDrain).once("close", onResponseClose);
    silence.start();
    if (response.destroyed) settle("abandoned");
    else if (answer.destroyed && !answer.readableEnded) settle("truncated");
  });
}

/** Longest early answer that is passed on; Glance's are a few hundred bytes. */
const MAX_EARLY_ANSWER_BYTES = 1024 * 1024;

/** @returns undefined where the answer is cut short, never ends or is too long. */
function collect(answer: IncomingMessage, silenceMs: number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    const silence = createTimer(silenceMs, () => answer.destroy());
    silence.start();
    answer.on("data", (piece: Buffer) => {
      silence.start();
      pieces.push(piece);
      bytes += piece.length;
      if (bytes > MAX_EARLY_ANSWER_BYTES) answer.destroy();
    });
    answer.once("end", () => resolve(Buffer.concat(pieces)));
    answer.once("error", () => resolve(undefined));
    answer.once("close", () => {
      silence.stop();
      resolve(undefined); // without effect after `end`
    });
  });
}
