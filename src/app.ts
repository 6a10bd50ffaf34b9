/** The way of a request: guarded, told apart, carried. The same for the command, the container and the middleware. */
import express, { type RequestHandler } from "express";
import type { Config } from "./config/schema.js";
import { readTarget } from "./glance/request-target.js";
import { createImportHandler } from "./import/handler.js";
import { ProxyError, toProxyError, describeError } from "./vocabulary/errors.js";
import { createAnswerer } from "./client/answer.js";
import { createExchange, type Exchange } from "./client/exchange.js";
import { messagesOf, type App } from "./client/express-app.js";
import { createHeaderForwarder } from "./http/forwarded-headers.js";
import { createLinger } from "./client/linger.js";
import { createOneAtATime } from "./client/pipelining.js";
import { createPassThrough } from "./pass-through/pass-through.js";
import type { ClaimBody } from "./raw-io/claim-body.js";
import { guardContentLength, guardRequest, guardUpload, requireWholeHead } from "./http/request-guard.js";
import type { Upstream } from "./upstream/upstream.js";
import { createSpoolBudget } from "./upload/spool/budget.js";
import { requireSpoolDir, Spool } from "./upload/spool/spool.js";
import type { Quotas } from "./upload/quotas.js";
import { createUploadHandler } from "./upload/handler.js";
import type { ReplayMemory } from "./upload/replay-memory.js";
import type { Observers } from "./observe/observers.js";

export interface AppOptions {
  readonly config: Config;
  readonly upstream: Upstream;
  readonly observers: Observers;
  readonly quotas: Quotas;
  /** Uploads that failed a moment ago; the processes of one proxy have the same. */
  readonly replays: ReplayMemory;
  /** By which a request that comes back is known; the processes of one proxy have the same. */
  readonly instance: string;
  /** Takes upload bodies over from Node; without it they are read as usual. */
  readonly claimBody?: ClaimBody;
}

/** @throws ConfigError for an unusable `spool.dir`. */
export function createApp(options: AppOptions): App {
  const { config, upstream, observers, quotas, replays, instance, claimBody } = options;
  const { metrics, log } = observers;
  const forwarder = createHeaderForwarder(
    instance,
    config.forwarded.trust,
    createOnce((header) =>
      log.warn({ header }, "header dropped: WSGI reads the underscore in its name as a hyphen"),
    ),
  );
  const patience = { silenceMs: config.upstream.responseTimeout, idleMs: config.limits.idleTimeout };
  const answerer = createAnswerer({
    forwarder,
    linger: createLinger(),
    allowedOrigins: config.cors.allowedOrigins,
    patience,
  });
  if (config.size.unknown === "spool") requireSpoolDir(config.spool.dir);
  const budget = createSpoolBudget(quotas.spool);
  metrics.watchSpool(budget);
  const upload = createUploadHandler({
    config,
    upstream,
    answerer,
    places: quotas.uploads,
    createSpool: () => new Spool(config.spool, budget),
    claimBody,
    replays,
    observers,
  });
  const passThrough = createPassThrough({ upstream, answerer, metrics, patience });
  const importImage = createImportHandler({ config, upstream, passThrough, metrics });

  const serve: RequestHandler = async (request, response) => {
    const startedAt = performance.now();
    response.once("close", () => {
      // 499 as nginx has it: the client left before there was an answer.
      const status = response.headersSent ? response.statusCode : 499;
      metrics.request(request.method, status, (performance.now() - startedAt) / 1000);
    });
    const exchange = createExchange(request, response, forwarder);
    try {
      await carry(exchange);
    } catch (cause) {
      refuse(exchange, cause);
    }
  };

  async function carry(exchange: Exchange): Promise<void> {
    const { request, head, announced } = exchange;
    if (request.readableDidRead)
      throw new Error("a body parser has read the body: it may not stand in front of the proxy");
    const { method = "", url = "", httpVersion } = request;
    requireWholeHead(request);
    // Of a request that would switch protocols Node drops what came behind it, and reads on somewhere in what comes next.
    if (head.values("upgrade").length > 0) exchange.response.shouldKeepAlive = false;
    guardRequest(method, httpVersion, head, announced);
    const target = readTarget(method, url, config.listen.pathPrefix);
    switch (target.kind) {
      case "refused":
        throw new ProxyError("bad_request", target.reason);
      case "outside":
        throw new ProxyError("not_found", `This proxy serves only paths below ${config.listen.pathPrefix}.`);
      case "upload":
        guardUpload(head);
        return upload(exchange, target);
      case "import":
        guardContentLength(announced);
        return importImage(exchange, target);
      case "other":
        guardContentLength(announced);
        return passThrough(exchange, target.path);
    }
  }

  function refuse(exchange: Exchange, cause: unknown): void {
    const { request, response, requestId, peer } = exchange;
    if (response.headersSent) return void response.destroy();
    const error = toProxyError(cause);
    log[error.code === "internal" || error.code === "upstream_framing" ? "error" : "info"](
      {
        requestId,
        method: request.method,
        status: error.status,
        peer: peer.address,
        ...describeError(error),
      },
      "request refused",
    );
    answerer.refuse(exchange, { error });
  }

  const handle = express().disable("x-powered-by").disable("etag").use(createOneAtATime()).use(serve);
  return { handle, messages: messagesOf(handle) };
}

/** Calls `act` once for each of the first values; a client chooses them, so their number is bounded. */
function createOnce(act: (value: string) => void, most = 100): (value: string) => void {
  const seen = new Set<string>();
  return (value) => {
    if (seen.has(value) || seen.size >= most) return;
    seen.add(value);
    act(value);
  };
}
