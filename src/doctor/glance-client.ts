/** Requests of the doctor to a Glance. A caller gives a token only after the server was identified as Glance. */
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { TLSSocket } from "node:tls";
import type { Config } from "../config/config.js";
import { createUpstream, type Upstream } from "../upstream/upstream.js";
import { toUpstreamError } from "../upstream/failures.js";

const TIMEOUT_MS = 30_000;
/** uWSGI never answers `Expect: 100-continue`. Servers that answer it do so at once. */
const CONTINUE_TIMEOUT_MS = 2_000;
/** Maximum length of an answer, characters: an answer that is not from Glance may have no end. */
const MAX_TEXT_LENGTH = 1_000_000;

export interface GlanceAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
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
    const timer = limit(request, this.#timeoutMs);
    try {
      const answered = answerTo(request);
      answered.catch(() => undefined); // awaited below
      const continuedAfterMs =
        headers["expect"] === undefined ? undefined : await waitForContinue(request, answered);
      request.end(body);
      const answer = await answered;
      return { ...(await read(answer)), continuedAfterMs };
    } catch (cause) {
      throw new NoAnswer(cause);
    } finally {
      clearTimeout(timer);
    }
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
    } catch (cause) {
      throw new NoAnswer(cause);
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
    const timer = limit(request, this.#timeoutMs);
    try {
      await read(await answerTo(request.end()));
      return request.reusedSocket;
    } finally {
      clearTimeout(timer);
    }
  }
}

function limit(request: ClientRequest, timeoutMs: number): NodeJS.Timeout {
  return setTimeout(() => {
    request.destroy(new TooSlow(`no answer within ${timeoutMs / 1000} s`));
  }, timeoutMs);
}

function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once("response", resolve).once("error", reject);
  });
}

/** @returns milliseconds until `100 Continue`. Undefined if it did not come in time, or an answer came first. */
async function waitForContinue(
  request: ClientRequest,
  answered: Promise<unknown>,
): Promise<number | undefined> {
  const askedAt = performance.now();
  const continued = new Promise<number>((resolve) => {
    request.once("continue", () => resolve(performance.now() - askedAt));
  });
  request.flushHeaders();
  const nothing = (): undefined => undefined;
  const late = delay(CONTINUE_TIMEOUT_MS, undefined, { ref: false });
  return Promise.race([continued, answered.then(nothing, nothing), late]);
}

async function read(answer: IncomingMessage): Promise<Omit<GlanceAnswer, "continuedAfterMs">> {
  const { socket } = answer;
  const certificate = socket instanceof TLSSocket ? socket.getPeerCertificate() : undefined;
  let text = "";
  for await (const piece of answer.setEncoding("utf8")) {
    text += String(piece);
    if (text.length > MAX_TEXT_LENGTH) break;
  }
  return {
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    text,
    certificateEnds: certificate === undefined ? undefined : new Date(certificate.valid_to),
  };
}
