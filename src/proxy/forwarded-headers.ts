/** The header lines that go on with a request: cleaned first, then the proxy's own. */
import { BlockList, isIP } from "node:net";
import { ProxyError } from "../proxy-error.js";
import { endToEnd, type HeaderLine, type RequestHead } from "./request-head.js";

/** As `http.request` takes them; names in lower case. */
export type OutgoingHeaders = Record<string, string | string[]>;

export interface Peer {
  /** Address of whoever opened the connection; absent once it is gone. */
  readonly address: string | undefined;
  readonly encrypted: boolean;
}

export interface HeaderForwarder {
  /**
   * @returns the headers for Glance: `Host` preserved, hop-by-hop and ambiguous ones gone, the way they came recorded.
   * @throws ProxyError `loop` where this very instance has seen the request before.
   */
  forRequest(head: RequestHead, httpVersion: string, peer: Peer): OutgoingHeaders;
  /** @returns the flat list of header lines for the client. */
  forResponse(rawHeaders: readonly HeaderLine[], httpVersion: string): string[];
}

/**
 * @param instance names this proxy in `Via`; unlike any other proxy's.
 * @param trust addresses and networks whose forwarding headers are believed.
 * @param onDropped called with the name of a header that was dropped for its underscore.
 */
export function createHeaderForwarder(
  instance: string,
  trust: readonly string[],
  onDropped: (name: string) => void,
): HeaderForwarder {
  const trusted = parseTrust(trust);
  return {
    forRequest(head, httpVersion, peer) {
      const via = head.values("via");
      if (via.some((line) => line.split(/[\s,]+/).includes(instance))) {
        throw new ProxyError(
          "loop",
          "The request has been through this proxy before: it is its own upstream.",
        );
      }
      const believed = peer.address !== undefined && trusted(peer.address);
      const headers = collect(
        endToEnd(head.lines).filter(({ name }) => {
          // WSGI cannot tell `Content_Length` from `Content-Length`: under uWSGI, Glance takes the one for the other.
          if (name.includes("_")) onDropped(name);
          return !name.includes("_") && name !== "expect" && (believed || !isForwarding(name));
        }),
      );
      const from = peer.address ?? "unknown";
      const proto = peer.encrypted ? "https" : "http";
      append(headers, "x-forwarded-for", from);
      headers["x-forwarded-proto"] ??= proto;
      const [host] = head.values("host");
      if (host !== undefined) headers["x-forwarded-host"] ??= host;
      if (headers["forwarded"] !== undefined) {
        append(headers, "forwarded", `for=${isIP(from) === 6 ? `"[${from}]"` : from};proto=${proto}`);
      }
      append(headers, "via", `${httpVersion} ${instance}`);
      return headers;
    },
    forResponse(lines, httpVersion) {
      const flat = endToEnd(lines)
        .filter(({ name }) => name !== "via")
        .flatMap(({ name, value }) => [name, value]);
      const via = lines.filter(({ name }) => name === "via").map(({ value }) => value);
      return [...flat, "via", [...via, `${httpVersion} ${instance}`].join(", ")];
    },
  };
}

function isForwarding(name: string): boolean {
  return name === "forwarded" || name.startsWith("x-forwarded-");
}

function collect(lines: readonly HeaderLine[]): OutgoingHeaders {
  const headers: OutgoingHeaders = {};
  for (const { name, value } of lines) {
    const before = headers[name];
    headers[name] = before === undefined ? value : [before, value].flat();
  }
  return headers;
}

function append(headers: OutgoingHeaders, name: string, value: string): void {
  const before = headers[name];
  headers[name] = before === undefined ? value : [before, value].flat().join(", ");
}

function parseTrust(trust: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const entry of trust) {
    const [address = "", prefix] = entry.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  if (trust.length === 0) return () => false; // most often so, and a look into the list is not cheap
  // A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d; BlockList knows that they are the same.
  return (address) => list.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}
