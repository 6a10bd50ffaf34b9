/** Lists Glance's stores, with the known problems of each type of store. */
import type { Config } from "../config/config.js";
import { type CheckResult, hint, ok, type Outcome, unknown } from "./check.js";
import type { GlanceClient } from "./glance-client.js";
import { checkSizeRules, checkUnknownSizes, type Store } from "./unknown-sizes.js";

/** @param continues whether the server answers `100 Continue`. uWSGI never does. Undefined if unknown. */
export async function checkStores(
  glance: GlanceClient,
  config: Pick<Config, "size" | "spool">,
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
    ...stores.flatMap((store) =>
      [...checkLeftovers(store), ...checkUnknownSizes(store, config, continues)].map((outcome) => ({
        check: `store ${store.id}`,
        ...outcome,
      })),
    ),
    ...checkSizeRules(stores, config.size).map((outcome) => ({ check: "size.rules", ...outcome })),
  ];
}

async function list(glance: GlanceClient, path: string): Promise<Store[] | undefined> {
  const { status, text } = await glance.ask("GET", path);
  if (status !== 200) return undefined;
  const { stores } = JSON.parse(text) as { stores: { id: string; type?: string; default?: unknown }[] };
  // These are Glance's own stores for staged data and for tasks.
  return stores
    .map(({ id, type, default: isDefault }) => ({ id, type: type ?? id, isDefault: isDefault === "true" }))
    .filter(({ id }) => !id.startsWith("os_glance_"));
}

function checkLeftovers({ type }: Store): Outcome[] {
  if (type !== "s3") return [];
  return [
    hint(
      "S3: if an upload of 100 MiB or more is aborted, the parts already sent stay in the bucket",
      "give the bucket a lifecycle rule AbortIncompleteMultipartUpload",
      { type },
    ),
  ];
}
