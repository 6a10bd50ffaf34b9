/** A list of hosts from the configuration: names, `*.example.org`, addresses and networks. Pure. */
import { isIP } from "node:net";
import { type Address, Network, notPublic } from "./addresses.js";
import type { WebHost } from "./web-uri.js";

export class HostList {
  readonly #names = new Set<string>();
  /** Of `*.example.org`: `.example.org`. */
  readonly #endings: string[] = [];
  readonly #networks: Network[] = [];

  /** @param entries `import.webDownload.hosts` or `.deny` */
  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const [start = ""] = entry.split("/", 1);
      if (isIP(start) !== 0) this.#networks.push(new Network(entry));
      else if (entry.startsWith("*")) this.#endings.push(entry.slice(1));
      else this.#names.add(entry);
    }
  }

  get isEmpty(): boolean {
    return this.#names.size + this.#endings.length + this.#networks.length === 0;
  }

  /** Whether the list has this host, or the address to which it leads. */
  reaches(host: WebHost): boolean {
    if (host.kind === "name") return this.has(host);
    const { embedded } = host.address;
    return this.has(host) || (embedded !== undefined && this.#hasAddress({ family: "ipv4", text: embedded }));
  }

  has(host: WebHost): boolean {
    if (host.kind === "address") return this.#hasAddress(host.address);
    return this.#names.has(host.name) || this.#endings.some((ending) => host.name.endsWith(ending));
  }

  /** Whether an entry means this host although it is not public. `0.0.0.0/0` does not mean `127.0.0.1`; `127.0.0.0/8` does. */
  intends(host: WebHost): boolean {
    if (host.kind === "name") return this.has(host);
    const least = notPublic(host.address) ?? 0;
    return this.#networks.some((network) => network.prefix >= least && network.contains(host.address));
  }

  #hasAddress(address: Address): boolean {
    return this.#networks.some((network) => network.contains(address));
  }
}

/** Names that usually lead to private addresses: of this host, of a local network, or of services in the same cluster. */
const PRIVATE_ENDINGS = [".localhost", ".localdomain", ".local", ".internal", ".home.arpa", ".svc"];

export function isPublic(host: WebHost): boolean {
  if (host.kind === "address") return notPublic(host.address) === undefined;
  const { name } = host;
  return name.includes(".") && !PRIVATE_ENDINGS.some((ending) => name.endsWith(ending));
}
