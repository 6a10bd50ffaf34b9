/**
 * Decides whether Glance may run an import: `import.methods` and `import.webDownload`. It judges what Glance's API will read of the request.
 * It cannot see where a server redirects Glance, nor what a name resolves to. Pure.
 */
import type { Config } from "../config/config.js";
import type { ImportRefusalReason } from "../vocabulary/labels.js";
import { HostList, isPublic } from "./host-list.js";
import { hostText, readWebUri, withoutSecrets } from "./web-uri.js";

export interface ImportRefusal {
  readonly reason: ImportRefusalReason;
  /** For the client. */
  readonly explanation: string;
  /** For the log. */
  readonly uri?: string;
}

export interface ImportGuard {
  /** @param body parsed body of `POST /v2/images/{id}/import`. */
  judgeImport(body: unknown): ImportRefusal | undefined;
  /** @param body parsed body of `POST /v2/tasks`. */
  judgeTask(body: unknown): ImportRefusal | undefined;
}

/** @returns undefined if the configuration restricts nothing. */
export function createImportGuard(config: Config["import"]): ImportGuard | undefined {
  const { methods, webDownload } = config;
  const guardsUris = [webDownload.schemes, webDownload.hosts, webDownload.deny].some(
    ({ length }) => length > 0,
  );
  return methods.length > 0 || guardsUris ? new ConfiguredGuard(methods, webDownload, guardsUris) : undefined;
}

class ConfiguredGuard implements ImportGuard {
  readonly #methods: readonly string[];
  readonly #guardsUris: boolean;
  readonly #schemes: readonly string[];
  readonly #hosts: HostList;
  readonly #deny: HostList;

  constructor(methods: readonly string[], web: Config["import"]["webDownload"], guardsUris: boolean) {
    this.#methods = methods;
    this.#guardsUris = guardsUris;
    this.#schemes = web.schemes.length > 0 ? web.schemes : ["http", "https"];
    this.#hosts = new HostList(web.hosts);
    this.#deny = new HostList(web.deny);
  }

  judgeImport(body: unknown): ImportRefusal | undefined {
    const method = memberOf(body, "method");
    const name = memberOf(method, "name");
    return (
      this.#judgeMethod(name) ??
      (name === "web-download" ? this.#judgeUri(memberOf(method, "uri")) : undefined)
    );
  }

  /** Glance runs two types of task for clients; a task of any other type is not known here, so it may fetch anything. */
  judgeTask(body: unknown): ImportRefusal | undefined {
    const input = memberOf(body, "input");
    switch (memberOf(body, "type")) {
      case "import":
        return this.#judgeMethod("web-download") ?? this.#judgeUri(memberOf(input, "import_from"));
      case "api_image_import":
        return this.judgeImport(memberOf(input, "import_req"));
      default:
        return { reason: "method", explanation: "Tasks of this type are not allowed here." };
    }
  }

  #judgeMethod(name: unknown): ImportRefusal | undefined {
    if (this.#methods.length === 0 || (typeof name === "string" && this.#methods.includes(name)))
      return undefined;
    const allowed = this.#methods.join(", ");
    return {
      reason: "method",
      explanation: `This import method is not allowed here. Allowed methods: ${allowed}.`,
    };
  }

  #judgeUri(uri: unknown): ImportRefusal | undefined {
    if (!this.#guardsUris) return undefined;
    if (typeof uri !== "string") {
      return { reason: "uri", explanation: "The import is not allowed: its URI is not a text." };
    }
    const read = readWebUri(uri);
    const refuse = (reason: ImportRefusalReason, why: string): ImportRefusal => ({
      reason,
      explanation: `An import from this URI is not allowed here: ${why}.`,
      uri: withoutSecrets(uri),
    });
    if (read.scheme !== undefined && !this.#schemes.includes(read.scheme)) {
      return refuse("scheme", `the scheme must be ${this.#schemes.join(" or ")}`);
    }
    if (read.kind === "unreadable") return refuse("uri", read.fault);
    const { host } = read;
    if (this.#deny.reaches(host)) return refuse("denied", `${hostText(host)} is a denied host`);
    if (this.#hosts.intends(host)) return undefined;
    if (!isPublic(host)) return refuse("address", `${hostText(host)} is not a public host`);
    const isAllowed = this.#hosts.isEmpty || this.#hosts.has(host);
    return isAllowed ? undefined : refuse("host", `${hostText(host)} is not an allowed host`);
  }
}

function memberOf(value: unknown, name: string): unknown {
  const isObject = typeof value === "object" && value !== null && Object.hasOwn(value, name);
  return isObject ? (value as Record<string, unknown>)[name] : undefined;
}
