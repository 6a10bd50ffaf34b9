/** Decides what happens to an upload of unknown size: the first rule of `size.rules` that matches, otherwise `size.unknown`. Pure. */
import type { Config } from "../config/config.js";
import { endToEnd, type RequestHead, valuesOf } from "../http/request-head.js";
import {
  CLIENT_KINDS,
  type ClientKind,
  type Operation,
  type UnknownSizePolicy,
} from "../vocabulary/labels.js";

/** The header in which a client names a store of Glance, by its identifier. Glance reads it at `file` only. */
export const STORE_HEADER = "x-image-meta-store";

/** What the conditions of a rule are compared with. */
export interface UnknownSizeUpload {
  readonly client: ClientKind;
  readonly operation: Operation;
  /** Usually one. Empty if the client names none and `size.defaultStore` is not set. */
  readonly stores: readonly string[];
}

export interface UnknownSizeDecision {
  readonly policy: UnknownSizePolicy;
  /** The index in `size.rules`, or `default` if `size.unknown` decided. */
  readonly rule: string;
}

export type SizeRule = Config["size"]["rules"][number];

type SizeConfig = Pick<Config["size"], "rules" | "unknown" | "defaultStore">;

export class UnknownSizeRules {
  readonly #rules: readonly SizeRule[];
  /** The store of an upload that names none; empty if `size.defaultStore` is not set. */
  readonly defaultStores: readonly string[];
  readonly #readsStores: boolean;
  /** What may be decided: one for each rule, then the default. */
  readonly decisions: readonly UnknownSizeDecision[];
  readonly #default: UnknownSizeDecision;

  constructor({ rules, unknown, defaultStore }: SizeConfig) {
    this.#rules = rules;
    this.defaultStores = defaultStore === undefined ? [] : [defaultStore];
    this.#readsStores = rules.some(({ store }) => store !== undefined);
    this.#default = { policy: unknown, rule: "default" };
    this.decisions = [
      ...rules.map((rule, index) => ({ policy: rule.unknown, rule: String(index) })),
      this.#default,
    ];
  }

  /** Whether an upload may be spooled. */
  get maySpool(): boolean {
    return this.decisions.some(({ policy }) => policy === "spool");
  }

  decide(upload: UnknownSizeUpload): UnknownSizeDecision {
    const index = this.#rules.findIndex((rule) => matches(rule, upload));
    return this.decisions[index] ?? this.#default;
  }

  /** What may happen to an upload of unknown size to `.../file`, whichever client sends it. */
  policiesFor(stores: readonly string[]): ReadonlySet<UnknownSizePolicy> {
    return new Set(CLIENT_KINDS.map((client) => this.decide({ client, operation: "file", stores }).policy));
  }

  /**
   * The stores that an upload names, otherwise the default store. A header that is sent twice names two stores: servers differ in which
   * one they take. A header that `Connection` names does not reach Glance.
   */
  storesOf(head: RequestHead): readonly string[] {
    if (!this.#readsStores) return this.defaultStores;
    const named = valuesOf(endToEnd(head.lines), STORE_HEADER);
    return named.length > 0 ? named : this.defaultStores;
  }
}

function matches({ client, store, operation }: SizeRule, upload: UnknownSizeUpload): boolean {
  return (
    (operation === undefined || operation === upload.operation) &&
    (client === undefined || client.includes(upload.client)) &&
    (store === undefined || upload.stores.some((name) => store.includes(name)))
  );
}
