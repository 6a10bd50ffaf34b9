/** Makes the headers for Glance and for the client: removes what must not be forwarded, then adds the proxy's own. */
import { randomUUID } from "node:crypto";
import { BlockList, isIP } from "node:net";
import { ProxyError } from "../vocabulary/errors.js";
import { endToEnd, flatten, type HeaderLine, type RequestHead, valuesOf } from "./request-head.js";

export interface Peer {
  /** Address of the peer; absent after it has disconnected. */
  readonly address: string | undefined;
  readonly encrypted: boolean;
}

export interface HeaderForwarder {
  /**
   * @returns the headers for Glance: with `Host`, without hop-by-hop and ambiguous headers, with `Via` and forwarding headers.
   * @throws ProxyError `loop` if the request has passed through this proxy before.
   */
  forRequest(head: RequestHead, httpVersion: string, peer: Peer): HeaderLine[];
  /** @returns the flat list of header lines for the client. */
  forResponse(rawHeaders: readonly HeaderLine[], httpVersion: string): string[];
}

/** A new name for `Via`. All processes of one proxy share it. */
export function nameInstance(): string {
  return `glance-size-proxy-${randomUUID().slice(0, 8)}`;
}

/**
 * @param instance name of this proxy in `Via`; must be unique.
 * @param trust addresses and networks whose forwarding headers are trusted.
 * @param onDropped called with the name of a header that was dropped because of an underscore.
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
          "Loop: the request has already passed through this proxy. upstream.url must not lead back to it.",
        );
      }
      const believed = peer.address !== undefined && trusted(peer.address);
      const kept = endToEnd(head.lines).filter(({ name }) => {
        // WSGI does not distinguish `Content_Length` from `Content-Length`, and under uWSGI Glance reads the former.
        if (name.includes("_")) onDropped(name);
        return !name.includes("_") && name !== "expect" && (believed || !isForwarding(name));
      });
      const lines = kept.filter(({ name }) => !CONTINUED.has(name));
      const say = (name: string, value: string): void => void lines.push({ name, value });
      const isSaid = (name: string): boolean => valuesOf(kept, name).length > 0;
      const goOn = (name: string, value: string): void =>
        say(name, [...valuesOf(kept, name), value].join(", "));
      const from = peer.address ?? "unknown";
      const proto = peer.encrypted ? "https" : "http";
      goOn("x-forwarded-for", from);
      if (!isSaid("x-forwarded-proto")) say("x-forwarded-proto", proto);
      const [host] = head.values("host");
      if (host !== undefined && !isSaid("x-forwarded-host")) say("x-forwarded-host", host);
      if (isSaid("forwarded"))
        goOn("forwarded", `for=${isIP(from) === 6 ? `"[${from}]"` : from};proto=${proto}`);
      goOn("via", `${httpVersion} ${instance}`);
      return lines;
    },
    forResponse(lines, httpVersion) {
      const flat = flatten(endToEnd(lines).filter(({ name }) => name !== "via"));
      flat.push("via", [...valuesOf(lines, "via"), `${httpVersion} ${instance}`].join(", "));
      return flat;
    },
  };
}

/** List headers, joined into one line to which the proxy appends. */
const CONTINUED = new Set(["forwarded", "via", "x-forwarded-for"]);

function isForwarding(name: string): boolean {
  return name === "forwarded" || name.startsWith("x-forwarded-");
}

function parseTrust(trust: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const entry of trust) {
    const [address = "", prefix] = entry.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  if (trust.length === 0) return () => false; // the usual case, which avoids a slow lookup
  // A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d, which BlockList treats as the same address.
  return (address) => list.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}
