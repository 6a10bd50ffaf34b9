/** The way of a request: checked, classified, then handled. Command, container and middleware share it. */
import express, { type Request, type Response } from "express";
import { type Answerer, createAnswerer } from "./client/answer.js";
import { createExchange, type Exchange, statusSent } from "./client/exchange.js";
import { type App, messagesOf } from "./client/express-app.js";
import { createLinger, type Linger } from "./client/linger.js";
import { createOneAtATime } from "./client/pipelining.js";
import { createDownload, type Download } from "./download/handler.js";
import { readTarget } from "./glance/request-target.js";
import { isEmpty } from "./http/announced-body.js";
import { createHeaderForwarder, type HeaderForwarder } from "./http/forwarded-headers.js";
import { guardContentLength, guardRequest, guardUpload, requireWholeHead } from "./http/request-guard.js";
import { createImportHandler, type ImportHandler } from "./import/handler.js";
import { type AccessLog, createAccessLog, describeRequest } from "./observe/access-log.js";
import type { Observers } from "./observe/observers.js";
import { createPassThrough, type PassThrough } from "./pass-through/pass-through.js";
import { amendPreflight } from "./pass-through/preflight.js";
import type { ClaimBody } from "./raw-io/claim-body.js";
import { createUploadHandler, type UploadHandler } from "./upload/handler.js";
import type { ReloadOptions, ServeOptions } from "./upload/serve-options.js";
import { createSpoolBudget, type SpoolBudget } from "./upload/spool/budget.js";
import { requireSpoolDir, Spool } from "./upload/spool/spool.js";
import { UnknownSizeRules } from "./upload/unknown-size.js";
import { describeError, ProxyError, toProxyError } from "./vocabulary/errors.js";

export interface AppOptions extends ServeOptions {
  /** Takes upload bodies over from Node. If absent, Node's streams read them. */
  readonly claimBody?: ClaimBody;
}

/** An app whose configuration can change for new requests. Those in progress go on as they began. */
export interface ReloadableApp extends App {
  /** @returns takes the new options over. @throws ConfigError if `spool.dir` cannot be used. */
  prepareReload(next: ReloadOptions): () => void;
}

/** @throws ConfigError if `spool.dir` cannot be used. */
export function createApp(options: AppOptions): ReloadableApp {
  const shared = { budget: createSpoolBudget(options.quotas.spool), linger: createLinger() };
  const { metrics, uploads } = options.observers;
  metrics.watchSpool(shared.budget);
  metrics.watchUploads(() => uploads.snapshot().inFlight);
  let way = new RequestWay(options, shared);
  metrics.showSizeRules(way.sizeRules.decisions);
  const handle = express()
    .disable("x-powered-by")
    .disable("etag")
    .use(createOneAtATime())
    .use((request, response) => way.serve(request, response));
  return {
    handle,
    messages: messagesOf(handle),
    prepareReload(next) {
      const nextWay = new RequestWay({ ...options, ...next }, shared);
      return () => {
        way = nextWay;
        metrics.showSizeRules(way.sizeRules.decisions);
      };
    },
  };
}

/** What the requests of a process share, also those that began before a reload. */
interface Shared {
  readonly budget: SpoolBudget;
  readonly linger: Linger;
}

/** One handler for each kind of request. */
interface Carriers {
  readonly forwarder: HeaderForwarder;
  readonly answerer: Answerer;
  readonly sizeRules: UnknownSizeRules;
  readonly upload: UploadHandler;
  readonly imports: ImportHandler;
  readonly download: Download;
  readonly passThrough: PassThrough;
}

function createCarriers(options: AppOptions, { budget, linger }: Shared): Carriers {
  const { config, upstream, observers, quotas, replays, instance, claimBody } = options;
  const { metrics, log } = observers;
  const warnOnce = createOnce((header) =>
    log.warn({ header }, "header dropped: WSGI reads the underscore in its name as a hyphen"),
  );
  const forwarder = createHeaderForwarder(instance, config.forwarded.trust, warnOnce);
  const patience = { silenceMs: config.upstream.responseTimeoutMs, idleMs: config.limits.idleTimeoutMs };
  const { allowedOrigins } = config.cors;
  const answerer = createAnswerer({ forwarder, linger, allowedOrigins, patience });
  const sizeRules = new UnknownSizeRules(config.size);
  if (sizeRules.maySpool) requireSpoolDir(config.spool.dir);
  const upload = createUploadHandler({
    config,
    upstream,
    answerer,
    slots: quotas.uploads,
    createSpool: () => new Spool(config.spool, budget),
    claimBody,
    sizeRules,
    replays,
    observers,
  });
  const passThrough = createPassThrough({ upstream, answerer, metrics, patience });
  const download = createDownload({ upstream, answerer, metrics, patience });
  const imports = createImportHandler({ config, upstream, passThrough, observers });
  return { forwarder, answerer, sizeRules, upload, imports, download, passThrough };
}

class RequestWay {
  readonly #observers: Observers;
  readonly #access: AccessLog | undefined;
  readonly #pathPrefix: string;
  readonly #allowedOrigins: readonly string[];
  readonly #enforce: boolean;
  readonly #carriers: Carriers;

  constructor(options: AppOptions, shared: Shared) {
    this.#observers = options.observers;
    this.#access = createAccessLog(options.config.log.access, options.observers.log);
    this.#pathPrefix = options.config.listen.pathPrefix;
    this.#allowedOrigins = options.config.cors.allowedOrigins;
    this.#enforce = options.config.enforce;
    this.#carriers = createCarriers(options, shared);
  }

  get sizeRules(): UnknownSizeRules {
    return this.#carriers.sizeRules;
  }

  async serve(request: Request, response: Response): Promise<void> {
    const startedAt = performance.now();
    const exchange = createExchange(request, response, this.#carriers.forwarder);
    const writtenBefore = this.#access ? request.socket.bytesWritten : 0;
    response.once("close", () => {
      const seconds = (performance.now() - startedAt) / 1000;
      const status = statusSent(response);
      this.#observers.metrics.request(request.method, status, seconds);
      this.#access?.closed(exchange, status, seconds, writtenBefore);
    });
    try {
      await this.#carry(exchange);
    } catch (cause) {
      this.#refuse(exchange, cause);
    }
  }

  async #carry(exchange: Exchange): Promise<void> {
    const { request, head, announced } = exchange;
    if (request.readableDidRead)
      throw new Error("a body parser has read the body: it may not stand in front of the proxy");
    const { method = "", url = "", httpVersion } = request;
    requireWholeHead(request);
    // If a request asks to switch protocols, Node drops the bytes that follow it and continues at an unknown place. So the connection ends.
    if (head.values("upgrade").length > 0) exchange.response.shouldKeepAlive = false;
    guardRequest(method, httpVersion, head, announced);
    const target = readTarget(method, url, this.#pathPrefix);
    switch (target.kind) {
      case "refused":
        throw new ProxyError("bad_request", target.reason);
      case "outside":
        throw new ProxyError("not_found", `This proxy serves only paths below ${this.#pathPrefix}.`);
      case "upload":
        if (this.#enforce) guardUpload(head);
        exchange.notes.hasLine = true;
        return this.#carriers.upload(exchange, target);
      case "import":
        guardContentLength(announced);
        return this.#carriers.imports.importImage(exchange, target);
      case "task":
        guardContentLength(announced);
        return this.#carriers.imports.createTask(exchange, target.path);
      case "download":
        guardContentLength(announced);
        return this.#carriers[isEmpty(announced) ? "download" : "passThrough"](exchange, target.path);
      case "preflight":
        guardContentLength(announced);
        return this.#carriers.passThrough(exchange, target.path, amendPreflight(head, this.#allowedOrigins));
      case "other":
        guardContentLength(announced);
        return this.#carriers.passThrough(exchange, target.path);
    }
  }

  #refuse(exchange: Exchange, cause: unknown): void {
    const { response } = exchange;
    if (response.headersSent) return void response.destroy();
    const error = toProxyError(cause);
    exchange.notes.hasLine = true;
    const line = Object.assign(describeRequest(exchange), { status: error.status, ...describeError(error) });
    const isFault = error.code === "internal" || error.code === "upstream_framing";
    this.#observers.log[isFault ? "error" : "info"](line, "request refused");
    this.#carriers.answerer.refuse(exchange, { error });
  }
}

/** Calls `act` once for each value, for at most `most` values. Clients choose the values, so their number must be bounded. */
function createOnce(act: (value: string) => void, most = 100): (value: string) => void {
  const seen = new Set<string>();
  return (value) => {
    if (seen.has(value) || seen.size >= most) return;
    seen.add(value);
    act(value);
  };
}
