/** Lists Glance's stores, with the known problems of each type of store. */
import { type CheckResult, hint, ok, type Outcome, unknown } from "./check.js";
import type { GlanceClient } from "./glance-client.js";

interface Store {
  readonly id: string;
  /** The id if Glance does not show the type: it shows types only to administrators. */
  readonly type: string;
}

const DECLARE = "set size.unknown to spool or reject";

/** @param continues whether the server answers `100 Continue`. uWSGI never does. Undefined if unknown. */
export async function checkStores(
  glance: GlanceClient,
  continues: boolean | undefined,
): Promise<CheckResult[]> {
  let stores: Store[] | undefined;
  try {
    stores = (await list(glance, "/v2/info/stores/detail")) ?? (await list(glance, "/v2/info/stores"));
  } catch (error) {
    return [{ check: "stores", ...unknown((error as Error).message) }];
  }
  if (stores === undefined)
    return [{ check: "stores", ...unknown("Glance does not list its stores (enabled_backends is not set)") }];
  const names = stores.map(({ id, type }) => (id === type ? id : `${id} (${type})`));
  return [
    { check: "stores", ...ok(names.join(", "), { types: stores.map(({ type }) => type).join() }) },
    ...stores.flatMap(({ id, type }) =>
      warnings(type, continues).map((outcome) => ({ check: `store ${id}`, ...outcome })),
    ),
  ];
}

async function list(glance: GlanceClient, path: string): Promise<Store[] | undefined> {
  const { status, text } = await glance.ask("GET", path);
  if (status !== 200) return undefined;
  const { stores } = JSON.parse(text) as { stores: { id: string; type?: string }[] };
  // These are Glance's own stores for staged data and for tasks.
  return stores
    .map(({ id, type }) => ({ id, type: type ?? id }))
    .filter(({ id }) => !id.startsWith("os_glance_"));
}

function warnings(type: string, continues: boolean | undefined): Outcome[] {
  const facts = { type };
  switch (type) {
    case "s3":
      return [
        hint(
          "S3: if an upload of 100 MiB or more is aborted, the parts already sent stay in the bucket",
          "give the bucket a lifecycle rule AbortIncompleteMultipartUpload",
          facts,
        ),
        hint(
          "S3: Glance keeps a whole image of unknown size in memory, and the upload fails above 5 GiB",
          DECLARE,
          facts,
        ),
      ];
    case "cinder":
      return [
        hint(
          "Cinder: if the volumes are on NFS, an image of unknown size above 1 GiB is corrupted without an error",
          DECLARE,
          facts,
        ),
      ];
    case "rbd":
      return continues === true
        ? []
        : [
            hint(
              "RBD under uWSGI: an upload of unknown size fails if HAProxy is between the proxy and Glance",
              `connect the proxy to Glance directly, or ${DECLARE}`,
              facts,
            ),
          ];
    case "swift":
      return continues === true
        ? []
        : [
            hint(
              "Swift under uWSGI: before Glance 32, Glance keeps a whole image of unknown size in memory",
              DECLARE,
              facts,
            ),
          ];
    default:
      return [];
  }
}
