/** Rules between keys: each value is valid alone, but the values do not fit together. Parts of the schema. Pure. */
import { isIPv4 } from "node:net";
import { z } from "zod";
import { type ListenAddress, listenAddress, sizeBytes } from "./values.js";

/** Files for TLS without TLS: the operator expects protection that is not there. */
export function requireTlsForFiles(
  upstream: { url: URL; tls: Readonly<Record<string, unknown>> },
  context: z.RefinementCtx,
): void {
  if (upstream.url.protocol === "https:") return;
  for (const key of ["caFile", "certFile", "keyFile", "servername"]) {
    if (upstream.tls[key] === undefined) continue;
    context.addIssue({
      code: "custom",
      path: ["tls", key],
      message: `has no effect without TLS: set upstream.url to https://..., or remove upstream.tls.${key}`,
    });
  }
}

export function requireRoomPerUpload(
  { maxPerUpload, maxTotal }: { maxPerUpload: number; maxTotal: number },
  context: z.RefinementCtx,
): void {
  if (maxTotal === 0 || maxPerUpload <= maxTotal) return;
  context.addIssue({
    code: "custom",
    path: ["maxPerUpload"],
    message: `must not exceed spool.maxTotal (${z.encode(sizeBytes, maxTotal)}): lower it, or raise spool.maxTotal`,
  });
}

/** Refuses `listen.address` as `upstream.url`: every request would return to the proxy. */
export function refuseOwnAddress(
  { upstream: { url }, listen: { address } }: { upstream: { url: URL }; listen: { address: ListenAddress } },
  context: z.RefinementCtx,
): void {
  if (url.protocol === "unix:") return;
  const port = Number(url.port === "" ? { "http:": 80, "https:": 443 }[url.protocol] : url.port);
  if (port !== address.port || !reaches(url.hostname.replace(/^\[(.*)\]$/, "$1"), address.host)) return;
  context.addIssue({
    code: "custom",
    path: ["upstream", "url"],
    message:
      `is the proxy itself (listen.address is ${z.encode(listenAddress, address)}): ` +
      "set the URL of Glance, or another listen.address",
  });
}

/** @returns whether a connection to `host` reaches a listener on `listening` of the same machine, as far as names and addresses show. */
function reaches(host: string, listening: string): boolean {
  if (host === listening) return true;
  // Two loopback addresses are two listeners. A wildcard or `localhost` may mean any of them.
  const isVague = (name: string): boolean => ["0.0.0.0", "::", "localhost"].includes(name);
  return (isVague(host) || isVague(listening)) && isThisMachine(host) && isThisMachine(listening);
}

/** A loopback address, or the address that stands for all addresses. */
function isThisMachine(host: string): boolean {
  return ["localhost", "::1", "::", "0.0.0.0"].includes(host) || (isIPv4(host) && host.startsWith("127."));
}
