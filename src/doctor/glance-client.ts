/** Requests of the doctor to a Glance. A caller gives a token only after the server was identified as Glance. */
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import { TLSSocket } from "node:tls";
import type { Config } from "../config/config.js";
import { toUpstreamError } from "../upstream/failures.js";
import { readSmallAnswer } from "../upstream/small-answer.js";
import { createUpstream, type Upstream } from "../upstream/upstream.js";

const TIMEOUT_MS = 30_000;
/** uWSGI never answers `Expect: 100-continue`. Servers that answer it do so at once. */
const CONTINUE_TIMEOUT_MS = 2_000;

export interface GlanceAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Only the first MiB: an answer that is not from Glance may have no end. */
  readonly text: string;
  /** When Glance's certificate expires. Undefined without TLS. */
  readonly certificateEnds: Date | undefined;
  /** Milliseconds until `100 Continue`. Undefined if it did not come before the body was sent. */
  readonly continuedAfterMs: number | undefined;
}

export interface AskOptions {
  readonly headers?: Record<string, string>;
  /** Default: no body. */
  readonly body?: string;
}

export interface BegunUpload {
  /** Destroys the connection. */
  cut(): void;
  /** Resolves when Glance, or a server in front of Glance, ends the upload: with the milliseconds since its begin. */
  readonly ended: Promise<number>;
}

export interface GlanceClient {
  /** @throws NoAnswer */
  ask(method: string, path: string, request?: AskOptions): Promise<GlanceAnswer>;
  /** Sends a head and the first part of the body that the head announces, and then nothing more. */
  beginUpload(path: string, headers: Record<string, string>, part: string): BegunUpload;
  /** Whether a second request can use the connection of the first. Sends no token. @throws NoAnswer */
  keepsConnections(): Promise<boolean>;
}

/** The message is the reason, in one line. */
export class NoAnswer extends Error {
  /** The code of the socket's error, such as ECONNREFUSED. */
  readonly code: string;

  constructor(cause: unknown) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const reason = cause instanceof TooSlow ? message : toUpstreamError(cause).message;
    super(cause instanceof TooSlow ? reason : `${reason.replace(/\.$/, "")} (${code ?? message})`, { cause });
    this.code = code ?? "";
  }
}

class TooSlow extends Error {
  readonly code = "TOO_SLOW";
}

/**
 * @param token sent with every request of `ask` and `beginUpload`.
 * @param timeoutMs maximum time to a whole answer. Default: 30 s.
 * @throws ConfigError if a TLS file cannot be used.
 */
export function createGlanceClient(
  config: Config["upstream"],
  token: string | undefined,
  timeoutMs = TIMEOUT_MS,
): GlanceClient {
  return new Client(config, token, timeoutMs);
}

class Client implements GlanceClient {
  readonly #config: Config["upstream"];
  readonly #token: string | undefined;
  readonly #timeoutMs: number;
  readonly #upstream: Upstream;

  constructor(config: Config["upstream"], token: string | undefined, timeoutMs: number) {
    this.#config = config;
    this.#token = token;
    this.#timeoutMs = timeoutMs;
    this.#upstream = createUpstream(config);
  }

  async ask(
    method: string,
    path: string,
    { headers = {}, body = "" }: AskOptions = {},
  ): Promise<GlanceAnswer> {
    const length = body === "" ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const request = this.#open(method, path, { ...length, ...headers });
    const answered = this.#answerTo(request);
    answered.catch(() => undefined); // awaited below
    const continuedAfterMs = headers["expect"] === undefined ? undefined : await waitForContinue(request);
    request.end(body);
    return { ...(await answered), continuedAfterMs };
  }

  beginUpload(path: string, headers: Record<string, string>, part: string): BegunUpload {
    const request = this.#open("PUT", path, headers);
    const begunAt = performance.now();
    const ended = new Promise<number>((resolve) => {
      const end = (): void => resolve(performance.now() - begunAt);
      request.once("response", end).once("close", end).on("error", end); // either side may end it
    });
    request.write(part);
    return { cut: () => void request.destroy(), ended };
  }

  async keepsConnections(): Promise<boolean> {
    const agent = this.#createKeepAliveAgent();
    try {
      await this.#isReused(agent);
      await turn(); // by then the agent knows whether the connection is free or closed
      return await this.#isReused(agent).catch(() => false);
    } finally {
      agent.destroy();
    }
  }

  #open(method: string, path: string, headers: Record<string, string>): ClientRequest {
    const all = {
      accept: "application/json",
      ...(this.#token === undefined ? {} : { "x-auth-token": this.#token }),
      ...headers,
    };
    const lines = Object.entries(all).map(([name, value]) => ({ name, value }));
    return this.#upstream.request(method, path, lines);
  }

  #createKeepAliveAgent(): HttpAgent {
    const { tls } = this.#config;
    const { protocol, host = "" } = this.#upstream.target;
    const options = { keepAlive: true, maxSockets: 1 };
    return protocol === "https:"
      ? new HttpsAgent({
          ...options,
          rejectUnauthorized: tls.rejectUnauthorized,
          servername: tls.servername ?? (isIP(host) === 0 ? host : ""),
          ...this.#upstream.credentials(),
        })
      : new HttpAgent(options);
  }

  /** Sends a request. @returns whether the request used the connection of an earlier request. */
  async #isReused(agent: HttpAgent): Promise<boolean> {
    const { protocol, ...address } = this.#upstream.target;
    const send = protocol === "https:" ? httpsRequest : httpRequest;
    const request = send({ ...address, agent, path: this.#upstream.path("/versions") });
    const answered = this.#answerTo(request);
    request.end();
    await answered;
    return request.reusedSocket;
  }

  /** @throws NoAnswer */
  async #answerTo(request: ClientRequest): Promise<Omit<GlanceAnswer, "continuedAfterMs">> {
    const timeoutMs = this.#timeoutMs;
    let certificateEnds: Date | undefined;
    const onHead = ({ socket }: IncomingMessage): void => {
      if (socket instanceof TLSSocket) certificateEnds = new Date(socket.getPeerCertificate().valid_to);
    };
    const answer = await readSmallAnswer(request, { timeoutMs, onHead });
    switch (answer.kind) {
      case "answer": {
        const { statusCode = 0, headers } = answer.head;
        return { status: statusCode, headers, text: answer.body.toString(), certificateEnds };
      }
      case "late":
        throw new NoAnswer(new TooSlow(`no answer within ${timeoutMs / 1000} s`));
      case "failed":
        throw new NoAnswer(answer.cause);
    }
  }
}

/** @returns milliseconds until `100 Continue`. Undefined if it did not come in time, or an answer came first. */
async function waitForContinue(request: ClientRequest): Promise<number | undefined> {
  const askedAt = performance.now();
  const waited = new Promise<number | undefined>((resolve) => {
    const nothing = (): void => resolve(undefined);
    request.once("continue", () => resolve(performance.now() - askedAt));
    request.once("response", nothing).once("close", nothing);
  });
  request.flushHeaders();
  return Promise.race([waited, delay(CONTINUE_TIMEOUT_MS, undefined, { ref: false })]);
}
