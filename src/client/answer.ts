/** Answers clients: with the proxy's own refusals, or with Glance's answers. */
import { type IncomingMessage, ServerResponse } from "node:http";
import { glanceError, reasonPhrase } from "../glance/error-body.js";
import { isEmpty } from "../http/announced-body.js";
import type { HeaderForwarder } from "../http/forwarded-headers.js";
import { proxyStatus } from "../http/proxy-status.js";
import { createRequestHead, linesByName } from "../http/request-head.js";
import { soon } from "../http/soon.js";
import type { Patience } from "../http/turns.js";
import type { Waits } from "../http/waits.js";
import type { AnswerHead } from "../raw-io/raw-answer.js";
import type { ProxyError } from "../vocabulary/errors.js";
import { collectAnswer, type GlanceAnswer, type RelayedAnswer, streamAnswer } from "./answer-stream.js";
import { crossOriginHeaders } from "./cross-origin.js";
import type { Exchange } from "./exchange.js";
import type { Linger } from "./linger.js";

export interface Answerer {
  /** Answers with an error in Glance's format. The client may still be sending. */
  refuse(exchange: Exchange, refusal: Refusal): void;
  /** Answers 204, as Glance does after an upload. */
  succeed(exchange: Exchange): void;
  /** Streams Glance's answer to the client. @param waits adds up how long each side takes. */
  relay(exchange: Exchange, answer: GlanceAnswer, waits?: Waits): Promise<RelayedAnswer>;
  /** Passes on a short answer that came while the client is still sending: completely read first, with its length. */
  relayEarly(exchange: Exchange, answer: IncomingMessage): Promise<RelayedAnswer>;
}

export interface Refusal {
  readonly error: ProxyError;
  /** Appended to the explanation. */
  readonly remark?: string;
}

export interface AnswererOptions {
  readonly forwarder: HeaderForwarder;
  readonly linger: Linger;
  /** `cors.allowedOrigins` */
  readonly allowedOrigins: readonly string[];
  readonly patience: Patience;
}

export function createAnswerer(options: AnswererOptions): Answerer {
  return new HttpAnswerer(options);
}

class HttpAnswerer implements Answerer {
  readonly #options: AnswererOptions;

  constructor(options: AnswererOptions) {
    this.#options = options;
  }

  refuse(exchange: Exchange, { error, remark = "" }: Refusal): void {
    const { request, response, requestId, head } = exchange;
    const accept = head.values("accept").join(", ");
    const { contentType, body } = glanceError(error.status, error.message + remark, accept);
    response.writeHead(error.status, reasonPhrase(error.status), {
      ...crossOriginHeaders(head, this.#options.allowedOrigins),
      ...error.headers,
      ...(isSending(exchange) ? { connection: "close" } : {}),
      "content-type": contentType,
      "content-length": Buffer.byteLength(body),
      "proxy-status": proxyStatus(error.message + remark, error.proxyStatus),
      "x-openstack-request-id": requestId,
    });
    if (request.method !== "HEAD") response.write(body);
    this.#finish(exchange);
  }

  succeed(exchange: Exchange): void {
    const { response, requestId, head } = exchange;
    response.writeHead(204, {
      ...crossOriginHeaders(head, this.#options.allowedOrigins),
      "proxy-status": proxyStatus("Glance's answer was lost. The image has all bytes that were sent."),
      "x-openstack-request-id": requestId,
    });
    this.#finish(exchange);
  }

  async relay(exchange: Exchange, answer: GlanceAnswer, waits?: Waits): Promise<RelayedAnswer> {
    const { response } = exchange;
    if (isBodiless(answer)) return this.#relayHead(exchange, answer);
    const relayed = await streamAnswer({
      answer,
      response,
      writeHead: () => this.#writeHead(response, answer),
      patience: this.#options.patience,
      waits,
    });
    if (relayed === "whole") this.#finish(exchange);
    return relayed;
  }

  async relayEarly(exchange: Exchange, answer: IncomingMessage): Promise<RelayedAnswer> {
    const { response } = exchange;
    const body = await collectAnswer(answer, this.#options.patience.silenceMs);
    if (body === undefined) return "truncated"; // the client has received nothing, so the caller can still answer
    const told = isBodiless(answer) || answer.headers["content-length"] !== undefined;
    this.#writeHead(response, answer, [
      ...(told ? [] : ["content-length", String(body.length)]),
      ...["connection", "close"],
    ]);
    response.write(body);
    this.#finish(exchange);
    return "whole";
  }

  /** Passes on an answer that has no body: nothing of it can be cut off, or be slow. */
  async #relayHead(exchange: Exchange, answer: GlanceAnswer): Promise<RelayedAnswer> {
    answer.on("error", () => undefined).resume();
    if (exchange.response.destroyed) return "abandoned";
    this.#writeHead(exchange.response, answer);
    await soon();
    this.#finish(exchange);
    return "whole";
  }

  #writeHead(response: ServerResponse, answer: AnswerHead, more: readonly string[] = []): void {
    const headers = this.#options.forwarder.forResponse(
      createRequestHead(answer.rawHeaders).lines,
      answer.httpVersion,
    );
    const lines = [...headers, ...more];
    const status = [answer.statusCode ?? 502, answer.statusMessage ?? ""] as const;
    // Middleware that wraps `writeHead` may not support flat lists (on-headers before 1.1.0). If it has set headers of its own,
    // Node 20 would keep only the last of repeated ones.
    const isOurs = response.writeHead === ServerResponse.prototype.writeHead;
    if (isOurs && response.getHeaderNames().length === 0) return void response.writeHead(...status, lines);
    for (const [name, values] of linesByName(createRequestHead(lines).lines))
      response.setHeader(name, values);
    response.writeHead(...status);
  }

  /** Ends a written answer. If the client is still sending, the rest of its request is discarded first. */
  #finish(exchange: Exchange): void {
    const { body, response } = exchange;
    if (isSending(exchange)) {
      response.flushHeaders(); // otherwise a head without a body is sent only at the end
      this.#options.linger(body, response);
    } else {
      response.end();
      body.resume();
    }
  }
}

/** Whatever its headers announce (RFC 9110, sections 15.3.5 and 15.4.5). */
function isBodiless({ statusCode }: AnswerHead): boolean {
  return statusCode === 204 || statusCode === 304;
}

/** Whether the client may send more of its request. */
function isSending({ body, announced }: Exchange): boolean {
  return !body.complete && !isEmpty(announced);
}
