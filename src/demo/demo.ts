/** The demonstration: sends each upload to a stand-in Glance twice, directly and through the proxy, and compares the results. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import type { ProxyServer } from "../admin/proxy-server.js";
import type { ConfigInput } from "../config/schema.js";
import { createLog, type Log } from "../observe/log.js";
import { type RunningStandInGlance, startStandInGlance } from "./stand-in-glance.js";
import { startTraffic } from "./traffic.js";
import { type DemoUpload, MAX_SPOOLED_BYTES, SIZE_BYTES, UPLOADS } from "./uploads.js";

export interface Demo {
  /** Whether every upload had the expected result. */
  readonly asExpected: boolean;
  /** URL of the live page. */
  readonly page: string;
  /** Uploads images through the proxy until `stop`, so that the live page has something to show. */
  keepUploading(): void;
  stop(): Promise<void>;
}

export type CreateServer = (config: ConfigInput, options: { readonly log: Log }) => ProxyServer;

/** Runs the uploads and writes the table. The servers run until `stop`. @param write shows a text. */
export async function startDemo(createServer: CreateServer, write: (text: string) => void): Promise<Demo> {
  const glance = await startStandInGlance();
  const proxy = createServer(proxyConfig(glance.url), { log: createLog("silent") });
  const { listen, admin } = await proxy.start();
  write(`Simulated Glance, older than 2025.2:  ${glance.url}\n`);
  write(`glance-size-proxy in front of it:     ${listen}\n\n`);
  write(
    `Each upload is for an image of ${SIZE_BYTES} bytes, unless it says otherwise, and is sent chunked, as most clients do.\n` +
      `"size known": Glance knew the size before the first byte.\n\n`,
  );

  const rows = [["upload", "direct to Glance", "through the proxy", ""]];
  let asExpected = true;
  for (const upload of UPLOADS) {
    const direct = await put(glance, glance.url, upload);
    const proxied = await put(glance, listen, upload);
    const good = direct === upload.direct && proxied === upload.proxied;
    asExpected &&= good;
    rows.push([upload.name, direct, proxied, good ? "ok" : "WRONG"]);
  }
  write(table(rows));
  write(`\nLive page: ${admin}/\nMetrics:   ${admin}/metrics\n`);
  let stopTraffic = (): void => undefined;
  return {
    asExpected,
    page: `${admin}/`,
    keepUploading() {
      stopTraffic = startTraffic(glance, listen);
    },
    async stop() {
      stopTraffic();
      proxy.close();
      await glance.stop();
    },
  };
}

function proxyConfig(upstreamUrl: string): ConfigInput {
  return {
    upstream: { url: upstreamUrl },
    listen: { address: "127.0.0.1:0" },
    admin: { address: "127.0.0.1:0" },
    size: { unknown: "spool" },
    spool: { dir: tmpdir(), maxPerUpload: MAX_SPOOLED_BYTES },
  };
}

/** Uploads to a new image. @returns the client's answer and the image's state in Glance. */
async function put(glance: RunningStandInGlance, base: string, upload: DemoUpload): Promise<string> {
  const { id } = glance.images.create({ name: upload.name, disk_format: "raw", container_format: "bare" });
  const outgoing = request(`${base}/v2/images/${id}/file`, {
    method: "PUT",
    headers: {
      "content-type": "application/octet-stream",
      "transfer-encoding": "chunked",
      ...upload.headers,
    },
    agent: false,
  });
  outgoing.on("error", () => undefined); // an early refusal may reset the connection; only its answer matters
  outgoing.end(Buffer.alloc(upload.bodyBytes));
  const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
  const explanation = (await readText(answer)).split("\n\n")[1] ?? "";
  const image = glance.images.get(id);
  const contentLength = glance.uploads.find(({ imageId }) => imageId === id)?.contentLength;
  return [
    `${answer.statusCode}${explanation === "" ? "" : ` ${explanation}`}`,
    image.status === "active" ? `active with ${image.data?.sizeBytes} bytes` : image.status,
    ...(image.status !== "active" ? [] : [contentLength === undefined ? "size unknown" : "size known"]),
  ].join(", ");
}

async function readText(answer: IncomingMessage): Promise<string> {
  let text = "";
  for await (const piece of answer.setEncoding("utf8")) text += String(piece);
  return text;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd() + "\n";
  const [head = [], ...body] = rows;
  return line(head) + line(widths.map((width) => "-".repeat(width))) + body.map(line).join("");
}
