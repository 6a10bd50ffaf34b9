/** The example for OpenTelemetry, preloaded into the command: its spans reach a collector, from one process and from workers. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import { afterEach, expect, it } from "vitest";
import { startCommand } from "../support/cli.js";
import { request } from "../support/raw-http.js";
import { startRecordingUpstream } from "../support/recording-upstream.js";

const EXAMPLE = "examples/opentelemetry/otel.mjs";

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const act of cleanUp.splice(0).reverse()) await act();
});

interface Exported {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly object[] };
    readonly scopeSpans: readonly {
      readonly spans: readonly { readonly name: string; readonly traceId: string }[];
    }[];
  }[];
}

/** Takes what exporters send in OTLP over HTTP, as JSON. */
async function startCollector(): Promise<{ readonly url: string; readonly received: Exported[] }> {
  const received: Exported[] = [];
  const take = async (incoming: IncomingMessage): Promise<void> => {
    if (incoming.url === "/v1/traces") received.push(JSON.parse(await text(incoming)) as Exported);
  };
  const server = createServer((incoming, response) => {
    void take(incoming).then(() => response.setHeader("content-type", "application/json").end("{}"));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUp.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

it("is the one of the operations guide", () => {
  const code = readFileSync(EXAMPLE, "utf8").replace(/^\/\/.*\n/gm, "");
  expect(readFileSync("docs/operations.md", "utf8")).toContain(`\`\`\`js\n${code}\`\`\``);
});

it.each([
  [1, "--import"],
  [2, "NODE_OPTIONS"],
])("with workers: %i, loaded by %s, the spans of an upload reach a collector", async (workers, how) => {
  const collector = await startCollector();
  const upstream = await startRecordingUpstream();
  cleanUp.push(() => upstream.stop());
  const preload = ["--import", pathToFileURL(EXAMPLE).href];
  const command = await startCommand(
    upstream.url,
    {
      GLANCE_SIZE_PROXY_WORKERS: String(workers),
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      ...(how === "NODE_OPTIONS" ? { NODE_OPTIONS: preload.join(" ") } : {}),
    },
    [],
    [],
    how === "--import" ? preload : [],
  );
  cleanUp.push(() => command.stop());
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };
  expect((await request(command.port, "PUT", "/v2/images/one/file", { headers, body: "hello" })).status).toBe(
    204,
  );
  const spans = () =>
    collector.received.flatMap(({ resourceSpans }) =>
      resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)),
    );
  await expect
    .poll(() =>
      spans()
        .map(({ name }) => name)
        .sort(),
    )
    .toEqual(["learn", "relay", "upload"]);
  expect(new Set(spans().map((span) => span.traceId))).toEqual(new Set([traceId]));
  expect(JSON.stringify(collector.received[0]?.resourceSpans[0]?.resource.attributes)).toContain(
    "glance-size-proxy",
  );
  expect(upstream.uploads[0]?.headers["traceparent"]).toMatch(new RegExp(`^00-${traceId}-(?!b7ad)`));
});
