/** What an upload of unknown size does in Glance's stores, by type of store. A type without an entry takes any upload. Pure. */

export interface StoreRisk {
  /** The name of the store's driver, for people. */
  readonly driver: string;
  /** Completes "the driver: ...". */
  readonly risk: string;
  /** Only if Glance runs under uWSGI. */
  readonly underUwsgi: boolean;
}

const RISKS: Readonly<Record<string, StoreRisk>> = {
  cinder: {
    driver: "Cinder",
    risk: "if the volumes are on NFS, an image of unknown size above 1 GiB is corrupted without an error",
    underUwsgi: false,
  },
  rbd: {
    driver: "RBD under uWSGI",
    risk: "an upload of unknown size fails if HAProxy is between the proxy and Glance",
    underUwsgi: true,
  },
  s3: {
    driver: "S3",
    risk: "Glance keeps a whole image of unknown size in memory, and the upload fails above 5 GiB",
    underUwsgi: false,
  },
  swift: {
    driver: "Swift under uWSGI",
    risk: "before Glance 32, Glance keeps a whole image of unknown size in memory",
    underUwsgi: true,
  },
};

/** @param type the type of a store, such as `rbd`. */
export function storeRisk(type: string): StoreRisk | undefined {
  return Object.hasOwn(RISKS, type) ? RISKS[type] : undefined;
}
