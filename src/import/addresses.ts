/** IP addresses in URIs: every spelling that the C library accepts, and the ranges that are not public. Pure. */
import { BlockList, isIPv4, isIPv6 } from "node:net";

export interface Address {
  readonly family: "ipv4" | "ipv6";
  /** Canonical: dotted decimal, or compressed IPv6. An IPv4-mapped IPv6 address is IPv4. */
  readonly text: string;
  /** The IPv4 address to which a translator or tunnel forwards this IPv6 address (NAT64, 6to4). */
  readonly embedded?: string;
}

/** A number as `inet_aton` reads it: decimal, octal or hexadecimal. */
const NUMBER = /^(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)$/;

/**
 * @param host lower case.
 * @returns undefined if the host is a name; `invalid` if it ends in a number but not all readers take it for the same address.
 */
export function readIpv4(host: string): Address | "invalid" | undefined {
  const labels = host.split(".");
  const last = labels.at(-1) === "" ? labels.at(-2) : labels.at(-1);
  if (last === undefined || !/^([0-9]+|0x[0-9a-f]*)$/.test(last)) return undefined;
  if (!labels.every((label) => NUMBER.test(label))) return "invalid";
  // WHATWG's parser reads the same forms as `inet_aton`: one to four numbers, of which the last fills the remaining bytes.
  const url = `http://${host}/`;
  const text = URL.canParse(url) ? new URL(url).hostname : "";
  return isIPv4(text) ? { family: "ipv4", text } : "invalid";
}

/** @param host without brackets. @returns undefined if it is no IPv6 address, or has a zone. */
export function readIpv6(host: string): Address | undefined {
  if (host.includes("%") || !isIPv6(host)) return undefined;
  const text = new URL(`http://[${host}]/`).hostname.slice(1, -1);
  const groups = groupsOf(text);
  const start = (count: number): string => groups.slice(0, count).join(":");
  if (start(6) === "0:0:0:0:0:ffff") return { family: "ipv4", text: ipv4Of(groups, 6) };
  if (start(6) === "64:ff9b:0:0:0:0") return { family: "ipv6", text, embedded: ipv4Of(groups, 6) };
  if (start(1) === "2002") return { family: "ipv6", text, embedded: ipv4Of(groups, 1) };
  return { family: "ipv6", text };
}

/** The eight groups of a canonical IPv6 address, without leading zeros. */
function groupsOf(text: string): string[] {
  const [head = "", tail] = text.split("::");
  const before = head === "" ? [] : head.split(":");
  if (tail === undefined) return before;
  const after = tail === "" ? [] : tail.split(":");
  return [...before, ...Array<string>(8 - before.length - after.length).fill("0"), ...after];
}

function ipv4Of(groups: readonly string[], at: number): string {
  const [high = 0, low = 0] = groups.slice(at, at + 2).map((group) => Number.parseInt(group, 16));
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

/** An address, or a network in CIDR form. */
export class Network {
  readonly prefix: number;
  readonly #family: Address["family"];
  readonly #list = new BlockList();

  constructor(cidr: string) {
    const [address = "", prefix] = cidr.split("/");
    this.#family = isIPv6(address) ? "ipv6" : "ipv4";
    this.prefix = Number(prefix ?? (this.#family === "ipv6" ? 128 : 32));
    this.#list.addSubnet(address, this.prefix, this.#family);
  }

  contains({ family, text }: Pick<Address, "family" | "text">): boolean {
    return family === this.#family && this.#list.check(text, family);
  }
}

/**
 * Addresses that are not public: private, loopback, link-local, unspecified, multicast, shared (CGNAT) and reserved ones, and those of the
 * metadata services of clouds. Source: the special-purpose registries of IANA, without the networks for documentation.
 */
const NOT_PUBLIC = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"],
  ...["192.0.0.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"],
  "168.63.129.16/32", // Azure's own services; the other metadata services have addresses in the ranges above and below
  ...["::/128", "::1/128", "64:ff9b:1::/48", "2001::/23", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"],
].map((cidr) => new Network(cidr));

/** All public IPv6 addresses, and the prefix of NAT64, which stands for all IPv4 addresses. */
const PUBLIC_IPV6 = ["2000::/3", "64:ff9b::/96"].map((cidr) => new Network(cidr));

/** @returns the prefix length of the range because of which the address is not public; undefined if it is public. */
export function notPublic(address: Address): number | undefined {
  const { family, embedded } = address;
  if (embedded !== undefined && notPublic({ family: "ipv4", text: embedded }) !== undefined) return 128;
  const range = NOT_PUBLIC.find((network) => network.contains(address));
  if (range) return range.prefix;
  const isPublic = family === "ipv4" || PUBLIC_IPV6.some((network) => network.contains(address));
  return isPublic ? undefined : 8;
}
