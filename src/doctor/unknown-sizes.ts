/** What the configuration does with uploads of unknown size, compared with what each type of store does with them. Pure. */
import type { Config } from "../config/config.js";
import { storeRisk } from "../glance/store-risks.js";
import { type SizeRule, UnknownSizeRules } from "../upload/unknown-size.js";
import { hint, type Outcome, problem } from "./check.js";

export interface Store {
  readonly id: string;
  /** The id if Glance does not show the type: it shows types only to administrators. */
  readonly type: string;
  readonly isDefault: boolean;
}

type SizeConfig = Pick<Config, "size" | "spool">;

/** @param continues whether Glance's server answers `100 Continue`. uWSGI never does. Undefined if unknown. */
export function checkUnknownSizes(
  { id, type, isDefault }: Store,
  config: SizeConfig,
  continues: boolean | undefined,
): Outcome[] {
  const risk = storeRisk(type);
  if (risk === undefined || (risk.underUwsgi && continues === true)) return [];
  const remedy = remedyFor(id, isDefault, config);
  if (remedy === undefined) return [];
  return [hint(`${risk.driver}: ${risk.risk}`, remedy, { type })];
}

/** @returns what to change so that no body reaches the store without a size. Undefined if none does. */
function remedyFor(id: string, isDefault: boolean, { size, spool }: SizeConfig): string | undefined {
  const rules = new UnknownSizeRules(size);
  const policies = new Set(rules.policiesFor([id]));
  if (isDefault) for (const policy of rules.policiesFor(rules.defaultStores)) policies.add(policy);
  if (policies.has("forward")) {
    return `set size.unknown to spool or reject, or begin size.rules with { store: [${id}], unknown: spool }`;
  }
  if (!policies.has("spool") || spool.onFull === "reject") return undefined;
  return "set spool.onFull to reject: an image for which the spool has no space is sent without a size";
}

/** Compares the stores that the configuration names with those of Glance. */
export function checkSizeRules(stores: readonly Store[], size: Config["size"]): Outcome[] {
  const ids = new Set(stores.map(({ id }) => id));
  const strangers = [...new Set(size.rules.flatMap(({ store = [] }) => store))].filter((id) => !ids.has(id));
  const outcomes = strangers.map((id) =>
    hint(`size.rules names the store ${id}, which Glance does not have`, "correct the name in size.rules"),
  );
  const usual = stores.find(({ isDefault }) => isDefault)?.id;
  if (usual === undefined || size.defaultStore === usual || !namesStores(size)) return outcomes;
  const set = `set size.defaultStore to ${usual}, Glance's default store`;
  return size.defaultStore === undefined
    ? [...outcomes, hint(WITHOUT_DEFAULT, set)]
    : [...outcomes, problem(`size.defaultStore is ${size.defaultStore}`, set)];
}

const WITHOUT_DEFAULT =
  "size.defaultStore is not set, so an upload without x-image-meta-store matches no rule of size.rules that has store";

/**
 * For `--check-config`, which asks no Glance: the type of a store is known only if the store has the name of a type.
 *
 * @returns one line for each warning.
 */
export function adviseOnUnknownSizes(config: SizeConfig): string[] {
  const { size } = config;
  const { rules, defaultStore } = size;
  const named = new Set([
    ...(defaultStore === undefined ? [] : [defaultStore]),
    ...rules.flatMap(({ store = [] }) => store),
  ]);
  return [
    ...unreachable(rules),
    ...(namesStores(size) && defaultStore === undefined
      ? [`${WITHOUT_DEFAULT}: set it to Glance's default store`]
      : []),
    ...[...named].flatMap((id) => {
      const risk = storeRisk(id);
      const remedy = remedyFor(id, id === defaultStore, config);
      if (risk === undefined || remedy === undefined) return [];
      return [`size: if the store ${id} is of the type ${id} (${risk.driver}): ${risk.risk}: ${remedy}`];
    }),
  ];
}

function namesStores({ rules }: Config["size"]): boolean {
  return rules.some(({ store }) => store !== undefined);
}

/** Rules that never decide, because an earlier rule matches everything that they match. */
function unreachable(rules: readonly SizeRule[]): string[] {
  return rules.flatMap((rule, index) => {
    const earlier = rules.slice(0, index).findIndex((other) => covers(other, rule));
    if (earlier === -1) return [];
    return [`size.rules[${index}]: never applies: size.rules[${earlier}] matches the same uploads first`];
  });
}

function covers(wide: SizeRule, narrow: SizeRule): boolean {
  return (
    includes(wide.client, narrow.client) &&
    includes(wide.store, narrow.store) &&
    (wide.operation === undefined || wide.operation === narrow.operation)
  );
}

/** Without a list, a condition matches everything. */
function includes(wide: readonly string[] | undefined, narrow: readonly string[] | undefined): boolean {
  return wide === undefined || (narrow?.every((value) => wide.includes(value)) ?? false);
}
