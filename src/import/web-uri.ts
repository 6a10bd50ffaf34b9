/**
 * Reads the URI of a `web-download` in such a way that Glance cannot read it differently. Glance's own check (`urlparse`), its downloader
 * (`urllib.request`) and the C library disagree about unusual spellings: one strips tabs, another decodes `%31` in a host, a third takes
 * `²` for `2`. Such a spelling is not read at all. Pure.
 */
import { type Address, readIpv4, readIpv6 } from "./addresses.js";

export type WebHost =
  | { readonly kind: "address"; readonly address: Address }
  /** @property name lower case, without a trailing dot. */
  | { readonly kind: "name"; readonly name: string };

export type WebUri =
  | { readonly kind: "uri"; readonly scheme: string; readonly host: WebHost }
  /** The scheme is readable, but no host is. */
  | { readonly kind: "unreadable"; readonly scheme: string | undefined; readonly fault: string };

const SCHEME = /^([a-z][a-z0-9+.-]*):/i;
/** A host, a port, then nothing, a path or a query. A `#` directly behind the host ends it for some readers only. */
const AUTHORITY = /^\/\/(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{0,5}))?(?=$|[/?])/i;

export function readWebUri(uri: string): WebUri {
  const [start = "", scheme] = SCHEME.exec(uri) ?? [];
  const unreadable = (fault: string): WebUri => ({
    kind: "unreadable",
    scheme: scheme?.toLowerCase(),
    fault,
  });
  if (scheme === undefined) return unreadable("it has no scheme");
  if (/[^\x21-\x7e]|\\/.test(uri)) {
    return unreadable(
      "it has a character that is not allowed in a URI. Write a host in ASCII (xn--...), and anything else percent-encoded",
    );
  }
  const rest = uri.slice(start.length);
  if (/^\/\/[^/?#]*@/.test(rest)) return unreadable("it has user information (USER@HOST)");
  const [authority, host = "", port = ""] = AUTHORITY.exec(rest) ?? [];
  if (authority === undefined || Number(port) > 65_535) {
    return unreadable("its host or port is not in the usual form");
  }
  const read = readHost(host.toLowerCase());
  return read
    ? { kind: "uri", scheme: scheme.toLowerCase(), host: read }
    : unreadable("its host is not in the usual form");
}

/** @param host lower case. @returns undefined if it is neither a name nor an address. */
function readHost(host: string): WebHost | undefined {
  if (host.startsWith("[")) {
    const address = readIpv6(host.slice(1, -1));
    return address && { kind: "address", address };
  }
  const address = readIpv4(host);
  if (address === "invalid") return undefined;
  if (address) return { kind: "address", address };
  const name = host.replace(/\.$/, "");
  const isName = name.length <= 253 && name.split(".").every((label) => label !== "" && label.length <= 63);
  return isName ? { kind: "name", name } : undefined;
}

export function hostText(host: WebHost): string {
  return host.kind === "name" ? host.name : host.address.text;
}

/** What the log shows of a URI: neither query nor user information, which may hold secrets. Where these begin is unclear in a strange URI. */
export function withoutSecrets(uri: string): string {
  const [visible = ""] = uri.split(uri.includes("@") ? ":" : /[?#]/, 1);
  return visible;
}
