/** Identifies a service by its answer to `GET /versions` or `GET /`. Pure. */

/** The parts of an answer that identify the service. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export type Service =
  | { readonly kind: "glance"; readonly version: string }
  /** Glance's version list in answer to a path that Glance does not know. */
  | { readonly kind: "glance-elsewhere" }
  | { readonly kind: "proxy" }
  /** Another OpenStack service. `name` is absent if the version list does not identify it. */
  | { readonly kind: "openstack"; readonly name?: string }
  | { readonly kind: "redirect"; readonly location: string }
  | { readonly kind: "gateway" }
  | { readonly kind: "guarded" }
  | { readonly kind: "wants-certificate" }
  | { readonly kind: "web-page" }
  | { readonly kind: "unknown" };

export function readService({ status, headers, text }: Answer): Service {
  if (/glance-size-proxy/.test(one(headers["via"]))) return { kind: "proxy" };
  const service = readVersions(parse(text)) ?? readMarks(headers);
  if (service) return service.kind === "glance" && status !== 200 ? { kind: "glance-elsewhere" } : service;
  if (status >= 300 && status < 400 && headers["location"] !== undefined)
    return { kind: "redirect", location: one(headers["location"]) };
  if (status >= 502 && status <= 504) return { kind: "gateway" };
  if (status === 401 || status === 403 || status === 407) return { kind: "guarded" };
  if (status === 400 && /SSL certificate/.test(text)) return { kind: "wants-certificate" };
  if (/html/.test(one(headers["content-type"])) || /^\s*<(!doctype|html)/i.test(text))
    return { kind: "web-page" };
  return { kind: "unknown" };
}

interface Version {
  readonly id: string;
  readonly status?: string;
  readonly self: string;
  /** `application/vnd.openstack.compute+json;version=2.1` */
  readonly mediaTypes: string;
  /** Names of the entry's fields. The fields for microversions differ between services. */
  readonly fields: ReadonlySet<string>;
}

function readVersions(document: unknown): Service | undefined {
  if (!isRecord(document)) return undefined;
  const { versions, version, choices, name, swift } = document;
  if (isRecord(swift)) return openstack("Swift");
  const named = /^OpenStack (\w+) API$/.exec(typeof name === "string" ? name : "")?.[1];
  if (named !== undefined) return openstack(named);
  // Only Keystone nests the list in `values`. A service with one version answers with `version`.
  const list = isRecord(versions) ? versions["values"] : (versions ?? choices ?? [version]);
  const all = (Array.isArray(list) ? list : []).filter(isRecord).map(readVersion);
  if (all.length === 0) return undefined;
  const known = serviceOf(all);
  if (known !== undefined) return openstack(known);
  const current = all.find(({ id, status }) => status === "CURRENT" && id.startsWith("v2."));
  return Array.isArray(versions) && current && all.every(isGlances)
    ? { kind: "glance", version: current.id }
    : { kind: "openstack" };
}

function readVersion(entry: Readonly<Record<string, unknown>>): Version {
  const links = Array.isArray(entry["links"]) ? entry["links"].filter(isRecord) : [];
  const self = links.find(({ rel }) => rel === "self")?.["href"];
  return {
    id: String(entry["id"]),
    self: typeof self === "string" ? self : "",
    mediaTypes: JSON.stringify(entry["media-types"] ?? []),
    fields: new Set(Object.keys(entry)),
    ...(typeof entry["status"] === "string" ? { status: entry["status"] } : {}),
  };
}

/** An entry of Glance has only an id, a status and a link to `/v2/` (before Rocky also to `/v1/`). */
function isGlances({ id, self, fields }: Version): boolean {
  return (
    /^v[12]\.\d+$/.test(id) &&
    self.endsWith(`/${id.slice(0, 2)}/`) &&
    [...fields].every((field) => ["id", "status", "links"].includes(field))
  );
}

const BY_MEDIA_TYPE = {
  identity: "Keystone",
  compute: "Nova",
  volume: "Cinder",
  share: "Manila",
  "key-manager": "Barbican",
};

function serviceOf(versions: readonly Version[]): string | undefined {
  for (const { mediaTypes, fields, id, self } of versions) {
    const media = /vnd\.openstack\.([a-z-]+?)(-v\d|\+|")/.exec(mediaTypes)?.[1] ?? "";
    const byMedia = (BY_MEDIA_TYPE as Record<string, string | undefined>)[media];
    if (byMedia !== undefined) return byMedia;
    if (fields.has("max_version")) return id === "v1.0" ? "Placement" : undefined;
    if (fields.has("min_version")) return id === "v2.1" || id === "v2.0" ? "Nova" : undefined;
    if (id === "v2.0" && /\/v2\.0\/?$/.test(self)) return "Neutron";
    if (id === "v1.0" && /\/v1\/$/.test(self) && versions.length === 1) return "Heat";
    if (fields.has("updated") && /\/v2$/.test(self)) return "Octavia";
  }
  return undefined;
}

/** Identifies a service that has no version list at these paths. */
function readMarks(headers: Answer["headers"]): Service | undefined {
  return /^tx/.test(one(headers["x-trans-id"])) ? openstack("Swift") : undefined;
}

function openstack(name: string): Service {
  return { kind: "openstack", name };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function one(value: string | string[] | undefined): string {
  return [value ?? ""].flat().join(", ");
}
