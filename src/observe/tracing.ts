/**
 * Traces uploads, if whoever starts the process has loaded an SDK of OpenTelemetry. The only file that uses its API. Without an SDK, each
 * upload costs one look at whether there is one.
 */
import { validateHeaderName, validateHeaderValue } from "node:http";
import {
  type Attributes,
  type Context,
  context,
  propagation,
  ProxyTracerProvider,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  type TextMapSetter,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { Exchange } from "../client/exchange.js";
import type { HeaderLine, RequestHead } from "../http/request-head.js";
import type { Operation } from "../vocabulary/labels.js";
import { version } from "../vocabulary/version.js";
import { cutText } from "./cut-text.js";
import type { UploadView } from "./uploads-registry.js";

const NAME = "glance-size-proxy";

/** The parts of an upload, each a child span. One follows the other. */
export type Phase = "learn" | "spool" | "relay" | "rollback" | "recovery";

export interface UploadTrace {
  /** Ends the phase before, if there is one. @param glance the request of this phase goes there. */
  enter(phase: Phase, glance?: URL): void;
  /** Ends the current phase. @param attributes what it showed. */
  leave(attributes?: Attributes): void;
  /** @returns the headers with the context of the current phase in place of the client's. */
  inject(headers: readonly HeaderLine[]): readonly HeaderLine[];
  /** Ends the upload. */
  end(upload: UploadView): void;
}

/** @returns undefined without an SDK. A fault of the SDK loses the trace, and nothing else. */
export function traceUpload(exchange: Exchange, operation: Operation): UploadTrace | undefined {
  const tracer = findTracer();
  return (
    tracer && unlessItFails(() => new SpannedUpload(tracer, exchange, `/v2/images/{image_id}/${operation}`))
  );
}

function unlessItFails<Result>(act: () => Result): Result | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

/** The API's own provider has no tracer until an SDK registers one, and a provider of another copy of the API always is one of an SDK. */
function findTracer(): Tracer | undefined {
  const provider = trace.getTracerProvider();
  return provider instanceof ProxyTracerProvider
    ? provider.getDelegateTracer(NAME, version)
    : provider.getTracer(NAME, version);
}

const FROM_HEAD: TextMapGetter<RequestHead> = {
  get: (head, name) => [...head.values(name.toLowerCase())],
  keys: (head) => head.lines.map(({ name }) => name),
};

/** Propagators may make names and values of what the client sent. Node would throw on an impossible one. */
const INTO_LINES: TextMapSetter<HeaderLine[]> = {
  set(lines, name, value) {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    lines.push({ name: name.toLowerCase(), value });
  },
};

class SpannedUpload implements UploadTrace {
  readonly #tracer: Tracer;
  readonly #exchange: Exchange;
  readonly #span: Span;
  readonly #context: Context;
  #phase: Span | undefined;

  constructor(tracer: Tracer, exchange: Exchange, route: string) {
    this.#tracer = tracer;
    this.#exchange = exchange;
    // As middleware, the application may trace its requests itself: then its span is the parent.
    const active = context.active();
    const parent = trace.getSpan(active) ? active : propagation.extract(active, exchange.head, FROM_HEAD);
    this.#span = tracer.startSpan(
      "upload",
      { kind: SpanKind.SERVER, attributes: describeRequest(exchange, route) },
      parent,
    );
    this.#context = trace.setSpan(parent, this.#span);
    this.enter("learn");
  }

  enter(phase: Phase, glance?: URL): void {
    this.leave();
    if (!this.#span.isRecording()) return;
    const options = glance ? { kind: SpanKind.CLIENT, attributes: describeGlance(glance) } : {};
    this.#phase = this.#tracer.startSpan(phase, options, this.#context);
  }

  leave(attributes?: Attributes): void {
    if (attributes) this.#phase?.setAttributes(attributes);
    if (attributes?.["error.type"] !== undefined) this.#phase?.setStatus({ code: SpanStatusCode.ERROR });
    this.#phase?.end();
    this.#phase = undefined;
  }

  inject(headers: readonly HeaderLine[]): readonly HeaderLine[] {
    return unlessItFails(() => this.#inject(headers)) ?? headers;
  }

  end(upload: UploadView): void {
    unlessItFails(() => this.#end(upload));
  }

  #inject(headers: readonly HeaderLine[]): readonly HeaderLine[] {
    const own = new Set(propagation.fields());
    const lines = headers.filter(({ name }) => !own.has(name));
    const current = this.#phase ? trace.setSpan(this.#context, this.#phase) : this.#context;
    propagation.inject(current, lines, INTO_LINES);
    return lines;
  }

  #end(upload: UploadView): void {
    this.leave();
    const { response } = this.#exchange;
    const status = response.headersSent ? response.statusCode : undefined;
    this.#span.setAttributes({
      "http.response.status_code": status,
      "glance_size_proxy.image_id": upload.imageId,
      "glance_size_proxy.glance_request_id": upload.glanceRequestId,
      "glance_size_proxy.outcome": upload.outcome,
      "glance_size_proxy.size_source": upload.sizeSource,
      "glance_size_proxy.declared_bytes": upload.declaredBytes,
      "glance_size_proxy.received_bytes": upload.receivedBytes,
      "glance_size_proxy.forwarded_bytes": upload.forwardedBytes,
    });
    // By the conventions of HTTP, a status below 500 is no error of a server.
    if (status === undefined || status >= 500) {
      this.#span
        .setAttribute("error.type", upload.outcome ?? "_OTHER")
        .setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#span.end();
  }
}

/** Never the query, which may have a secret. */
function describeRequest({ request, head, peer, requestId }: Exchange, route: string): Attributes {
  const [path = ""] = (request.url ?? "").split("?", 1);
  const host = `http://${head.values("host")[0] ?? ""}`;
  return {
    "http.request.method": request.method,
    "http.route": route,
    "url.path": cutText(path),
    "url.scheme": peer.encrypted ? "https" : "http",
    "server.address": URL.canParse(host) ? new URL(host).hostname : undefined,
    "network.peer.address": peer.address,
    "user_agent.original": cutText(head.values("user-agent")[0]),
    "glance_size_proxy.request_id": requestId,
  };
}

function describeGlance({ protocol, hostname, port, pathname }: URL): Attributes {
  const isSocket = protocol === "unix:";
  return {
    "http.request.method": "PUT",
    "server.address": isSocket ? pathname : hostname,
    "server.port": isSocket ? undefined : Number(port || (protocol === "https:" ? 443 : 80)),
  };
}
