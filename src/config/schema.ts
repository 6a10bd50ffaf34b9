/**
 * Every configuration key: type, unit, default and meaning. `config/default.yaml`, `config/schema.json`, the environment variables and
 * the documentation are derived from this schema.
 *
 * The keys are in `sections/`. Each key has a meaning (`describe`), `meta({ takes })` if its type does not describe the accepted values, and
 * `meta({ expert: true })` if its default fits almost every deployment. A conversion must be a codec, not a transform:
 * `--check-config` converts values back to text.
 */
import { z } from "zod";
import { readKeys } from "./keys.js";
import { refuseOwnAddress } from "./rules.js";
import { readiness, upstream } from "./sections/glance.js";
import { hooks } from "./sections/hooks.js";
import { admin, cors, forwarded, listen } from "./sections/peers.js";
import { log, shutdown, workers } from "./sections/process.js";
import { size } from "./sections/size.js";
import { enforce, imports, limits, quota, replay, rollback, spool, upload } from "./sections/uploads.js";

export const configSchema = z.strictObject({
  upstream: upstream.describe("The Glance behind the proxy."),
  listen: listen.prefault({}).describe("The address for clients."),
  admin: admin.prefault({}).describe("The address for operators."),
  readiness: readiness.prefault({}).describe("When `/readyz` reports that Glance is down."),
  enforce,
  size: size.prefault({}).describe("How the proxy learns the size of an upload and passes it to Glance."),
  limits: limits.prefault({}).describe("Limits for clients."),
  quota: quota.prefault({}).describe("Quotas that Glance keeps in Keystone (`use_keystone_limits`)."),
  upload: upload.prefault({}).describe("How upload bodies are read."),
  rollback: rollback.prefault({}).describe("What happens after an aborted upload."),
  replay: replay
    .prefault({})
    .describe("Protection against clients that repeat an upload without rewinding the file."),
  spool: spool
    .prefault({})
    .describe("Storing bodies of unknown size, if `size.unknown` or a rule of `size.rules` is `spool`."),
  import: imports.prefault({}).describe("What clients may import, and from where."),
  shutdown: shutdown.prefault({}).describe("What happens on SIGTERM and SIGINT."),
  forwarded: forwarded.prefault({}).describe("Which peers' forwarding headers are trusted."),
  cors: cors.prefault({}).describe("Browsers that upload to Glance directly (Horizon's direct upload)."),
  hooks: hooks.prefault({}).describe("A webhook that is told of each upload that has ended."),
  workers,
  log: log.prefault({}).describe("Logging to standard output."),
});

/** The same keys as a tree. */
export const configKeys = readKeys(configSchema);

/** The configuration of the command, which listens on `listen.address`. The middleware and the doctor do not. */
export const commandSchema = configSchema.superRefine(refuseOwnAddress);

/** The effective configuration under the names of the keys: sizes in bytes, times in milliseconds. config.ts adds units to the names. */
export type ParsedConfig = z.output<typeof configSchema>;

/** The configuration as a file or a caller of {@link createGlanceSizeProxy} writes it. Only `upstream.url` is required. */
export type ConfigInput = z.input<typeof configSchema>;
