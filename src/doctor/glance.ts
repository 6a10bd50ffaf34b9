/** Asking a Glance as a client would. Only a caller who knows that it is a Glance gives a token. */
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { TLSSocket } from "node:tls";
import type { Config } from "../config/schema.js";
import { createUpstream } from "../upstream/upstream.js";
import { toUpstreamError } from "../upstream/failures.js";

const TIMEOUT_MS = 30_000;
/** uWSGI never answers `Expect: 100-continue`; servers that do answer at once. */
const CONTINUE_PATIENCE_MS = 2_000;
/** Of an answer that is not a Glance's, which may have no end. */
const MAX_TEXT_LENGTH = 1_000_000;

export interface GlanceAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Present behind TLS: when Glance's certificate ends. */
  readonly certificateEnds: Date | undefined;
  /** Milliseconds until `100 Continue`, if that came before the body was sent. */
  readonly continuedAfterMs: number | undefined;
}

export interface AskOptions {
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

export interface BegunUpload {
  /** Cuts it. */
  cut(): void;
  /** Resolves when Glance or a server in front of it has ended it, with the milliseconds since it began to pause. */
  readonly ended: Promise<number>;
}

export interface AskedGlance {
  /** @throws NoAnswer */
  ask(method: string, path: string, request?: AskOptions): Promise<GlanceAnswer>;
  /** Sends a head and a part of the body that it announces, and then nothing more. */
  beginUpload(path: string, headers: Record<string, string>, part: string): BegunUpload;
  /** Whether a second request finds the connection of the first still open. Sends no token. */
  keepsConnections(): Promise<boolean>;
}

/** The message says why, in one line. */
export class NoAnswer extends Error {
  /** Of the socket's error, such as ECONNREFUSED. */
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

/** @param token is sent with every request of `ask` and `beginUpload`. */
export function createAskedGlance(
  config: Config["upstream"],
  token: string | undefined,
  timeoutMs = TIMEOUT_MS,
): AskedGlance {
  const upstream = createUpstream(config);
  const open = (method: string, path: string, headers: Record<string, string>): ClientRequest =>
    upstream.request(
      method,
      path,
      Object.entries({
        accept: "application/json",
        ...(token === undefined ? {} : { "x-auth-token": token }),
        ...headers,
      }).map(([name, value]) => ({ name, value })),
    );

  return {
    async ask(method, path, { headers = {}, body = "" } = {}) {
      const length = body === "" ? {} : { "content-length": String(Buffer.byteLength(body)) };
      const request = open(method, path, { ...length, ...headers });
      const timer = limit(request, timeoutMs);
      try {
        const answered = answerTo(request);
        answered.catch(() => undefined); // it is waited for below
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
    },

    beginUpload(path, headers, part) {
      const request = open("PUT", path, headers);
      const begunAt = performance.now();
      const ended = new Promise<number>((resolve) => {
        const end = (): void => resolve(performance.now() - begunAt);
        request.once("response", end).once("close", end).on("error", end); // it is cut, by us or by them
      });
      request.write(part);
      return { cut: () => void request.destroy(), ended };
    },

    async keepsConnections() {
      const { tls } = config;
      const { protocol, ...place } = upstream.target;
      const { host = "" } = place;
      const isTls = protocol === "https:";
      const agent = isTls
        ? new HttpsAgent({
            keepAlive: true,
            maxSockets: 1,
            rejectUnauthorized: tls.rejectUnauthorized,
            servername: tls.servername ?? (isIP(host) === 0 ? host : ""),
            ...upstream.credentials(),
          })
        : new HttpAgent({ keepAlive: true, maxSockets: 1 });
      const get = async (): Promise<boolean> => {
        const request = (isTls ? httpsRequest : httpRequest)({
          ...place,
          agent,
          path: upstream.path("/versions"),
        });
        const timer = limit(request, timeoutMs);
        try {
          await read(await answerTo(request.end()));
          return request.reusedSocket;
        } finally {
          clearTimeout(timer);
        }
      };
      try {
        await get();
        await turn(); // by then the connection is free, or seen to be closed
        return await get().catch(() => false);
      } catch (cause) {
        throw new NoAnswer(cause);
      } finally {
        agent.destroy();
      }
    },
  };
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

/** @returns after how many milliseconds it came; undefined if it did not, or if an answer came first. */
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
  const late = delay(CONTINUE_PATIENCE_MS, undefined, { ref: false });
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
