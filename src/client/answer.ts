/** The answers that the proxy makes itself, and Glance's answers on their way to the client. */
import { ServerResponse, type IncomingMessage } from "node:http";
import { glanceError, reasonPhrase } from "../glance/error-body.js";
import type { ProxyError } from "../vocabulary/errors.js";
import { isEmpty } from "../http/announced-body.js";
import type { Exchange } from "./exchange.js";
import type { Patience } from "../http/turns.js";
import type { HeaderForwarder } from "../http/forwarded-headers.js";
import { collectAnswer, streamAnswer, type RelayedAnswer } from "./answer-stream.js";
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
      ...this.#crossOrigin(head),
      ...error.headers,
      ...(isSending(exchange) ? { connection: "close" } : {}),
      "content-type": contentType,
      "content-length": Buffer.byteLength(body),
      "x-openstack-request-id": requestId,
    });
    if (request.method !== "HEAD") response.write(body);
    this.#finish(exchange);
  }

  succeed(exchange: Exchange): void {
    const { response, requestId, head } = exchange;
    response.writeHead(204, { ...this.#crossOrigin(head), "x-openstack-request-id": requestId });
    this.#finish(exchange);
  }

  async relay(exchange: Exchange, answer: IncomingMessage): Promise<RelayedAnswer> {
    const { response } = exchange;
    const relayed = await streamAnswer({
      answer,
      response,
      writeHead: () => this.#writeHead(response, answer),
      patience: this.#options.patience,
    });
    if (relayed === "whole") this.#finish(exchange);
    return relayed;
  }

  async relayEarly(exchange: Exchange, answer: IncomingMessage): Promise<RelayedAnswer> {
    const { response } = exchange;
    const body = await collectAnswer(answer, this.#options.patience.silenceMs);
    if (body === undefined) return "truncated"; // nothing is out yet: the caller can still say so
    const bodiless = answer.statusCode === 204 || answer.statusCode === 304;
    const told = bodiless || answer.headers["content-length"] !== undefined;
    this.#writeHead(response, answer, [
      ...(told ? [] : ["content-length", String(body.length)]),
      ...["connection", "close"],
    ]);
    response.write(body);
    this.#finish(exchange);
    return "whole";
  }

  #crossOrigin(head: RequestHead): Record<string, string> {
    const [origin] = head.values("origin");
    if (origin === undefined || !this.#options.allowedOrigins.includes(origin)) return {};
    return {
      "access-control-allow-origin": origin,
      "access-control-expose-headers": "X-Openstack-Request-Id",
      vary: "Origin",
    };
  }

  #writeHead(response: ServerResponse, answer: IncomingMessage, more: readonly string[] = []): void {
    const headers = this.#options.forwarder.forResponse(
      createRequestHead(answer.rawHeaders).lines,
      answer.httpVersion,
    );
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
  #finish(exchange: Exchange): void {
    const { body, response } = exchange;
    if (isSending(exchange)) {
      response.flushHeaders(); // a head without a body would wait for its end
      this.#options.linger(body, response);
    } else {
      response.end();
      body.resume();
    }
  }
}

/** Whether more of the request may still come. */
function isSending({ body, announced }: Exchange): boolean {
  return !body.complete && !isEmpty(announced);
}
