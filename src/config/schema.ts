/**
 * Every configuration key: type, unit, default and meaning. `config/default.yaml`, `config/schema.json`, the environment variables and
 * the documentation are derived from this schema.
 *
 * Each key has a meaning (`describe`), `meta({ takes })` if its type does not describe the accepted values, and
 * `meta({ expert: true })` if its default fits almost every deployment. A conversion must be a codec, not a transform:
 * `--check-config` converts values back to text.
 */
import { z } from "zod";
import { refuseOwnAddress, requireRoomPerUpload, requireTlsForFiles } from "./rules.js";
import { listenTls, upstreamTls } from "./tls-keys.js";
import { durationMs, hintName, listenAddress, network, origin, sizeBytes, upstreamUrl } from "./values.js";

const upstream = z
  .strictObject({
    url: upstreamUrl.describe(
      "URL of Glance: `http://HOST:PORT[/PATH]`, `https://...` or `unix:/PATH/OF/SOCKET`. Required. If it has a " +
        "PATH, the proxy puts PATH in front of every request path.",
    ),
    connectTimeout: durationMs
      .prefault("5s")
      .describe(
        "Maximum time to open a connection to Glance before the request fails with 504. 0 means the operating system's " +
          "limit.",
      ),
    responseTimeout: durationMs
      .prefault("1h")
      .describe(
        "How long Glance may neither read the body nor answer before the request fails with 504. The default is " +
          "long because a store may flush or detach a volume for many minutes before Glance answers an upload. 0 " +
          "means no limit.",
      ),
    tls: upstreamTls.prefault({}).describe("TLS to Glance, if `upstream.url` is https."),
  })
  .superRefine(requireTlsForFiles);

const listen = z.strictObject({
  address: listenAddress
    .prefault("0.0.0.0:9292")
    .describe("Address and port for clients. `[::1]:9292` is an IPv6 address. Port 0 takes a free port."),
  pathPrefix: z
    .string()
    .regex(/^(\/[A-Za-z0-9._~-]+)*$/)
    .meta({ takes: "a path without a trailing slash, such as /image, or empty" })
    .prefault("")
    .describe(
      "Path under which clients reach the proxy, such as `/image`. The proxy removes it before it forwards a " +
        "request to Glance.",
    ),
  tls: listenTls.prefault({}).describe("TLS for clients."),
});

const admin = z.strictObject({
  address: listenAddress
    .prefault("127.0.0.1:9190")
    .describe(
      "Address and port for metrics, health checks and the live page. There is no authentication: keep it " +
        "private.",
    ),
});

const readiness = z.strictObject({
  silence: durationMs
    .refine((ms) => ms > 0)
    .meta({ takes: "a time above 0 with a unit, such as 60s", expert: true })
    .prefault("60s")
    .describe(
      "How long Glance may leave the proxy's health request unanswered before `/readyz` returns 503 " +
        "(`glance_silent`) and `upstream_up` is 0. The time counts only while Glance sends no byte and reads no " +
        "byte of an upload, so a Glance whose workers are all busy stays ready. If a connection to Glance fails, " +
        "`/readyz` returns 503 at once.",
    ),
});

const size = z.strictObject({
  hints: z
    .array(hintName)
    .prefault(["x-image-meta-size", "upload-length", "x-upload-content-length", "x-expected-entity-length"])
    .describe(
      "Request headers, in addition to `x-openstack-image-size`, in which clients may declare the size.",
    ),
  unknown: z
    .enum(["forward", "spool", "reject"])
    .prefault("forward")
    .describe(
      "What to do if the client declares no size. `forward`: send the body to Glance in chunks, counted but " +
        "without a size. `spool`: store the whole body first (see `spool`), then send it with its size. `reject`: " +
        "answer 411.",
    ),
  reframe: z
    .boolean()
    .prefault(true)
    .describe(
      "Send every upload of declared size to Glance with `Content-Length`, whatever framing the client used. A " +
        "Glance before 2025.2 learns the size only from `Content-Length`.",
    ),
});

const limits = z.strictObject({
  maxImageSize: sizeBytes
    .prefault(0)
    .describe(
      "Maximum image size. A larger image gets 413: before the first byte if its size is declared, otherwise as " +
        "soon as the body passes the limit. 0 means no limit.",
    ),
  maxConcurrentUploads: z
    .int()
    .min(0)
    .prefault(0)
    .describe(
      "Maximum number of uploads at the same time. The next one gets 429 with `Retry-After`. 0 means no limit.",
    ),
  idleTimeout: durationMs
    .prefault("60s")
    .describe(
      "Maximum time a client may stall: no request bytes sent (408), or no response bytes read (connection " +
        "closed). Time during which Glance reads more slowly than the client sends does not count. 0 means no limit.",
    ),
  maxHeaderSize: sizeBytes
    .refine((bytes) => bytes >= 1024)
    .meta({ takes: "a size of at least 1KiB, such as 64KiB", expert: true })
    .prefault("64KiB")
    .describe("Maximum size of a request head (request line and headers). A larger head gets 431."),
});

const upload = z.strictObject({
  relay: z
    .enum(["auto", "raw", "stream"])
    .meta({ expert: true })
    .prefault("auto")
    .describe(
      "How upload bodies are read. `stream`: through Node's HTTP parser. `raw`: directly from the socket, which " +
        "takes much less CPU time. `auto`: raw for plain-TCP uploads of at least 1 MiB or unknown size, if a " +
        "self-test at start-up passes. The metric `relay_info` shows which is in use.",
    ),
});

const rollback = z.strictObject({
  verify: z
    .boolean()
    .prefault(true)
    .describe(
      "After an aborted upload, answer the client only when Glance has set the image back to `queued`.",
    ),
  timeout: durationMs
    .prefault("10s")
    .describe(
      "Maximum time to wait for the rollback. After that, the client is told that the image is not yet " +
        "`queued`. 0 means that the image is not checked.",
    ),
  interval: durationMs
    .refine((ms) => ms > 0)
    .meta({ takes: "a time above 0 with a unit, such as 100ms", expert: true })
    .prefault("100ms")
    .describe("Time between two checks of the image status during a rollback."),
});

const replay = z.strictObject({
  guard: z
    .boolean()
    .prefault(true)
    .describe(
      "After an upload failed with 401, 502, 503 or a broken connection, refuse the next upload of the same " +
        "image by the same client program if its body is empty or shorter than the size that the first one declared. Such a " +
        "client sends only the part of the file that it has not read yet. An upload with `x-openstack-image-size` " +
        "is never refused for this reason.",
    ),
  window: durationMs
    .meta({ expert: true })
    .prefault("60s")
    .describe("How long `replay.guard` remembers a failed upload. 0 turns the guard off."),
});

const spool = z
  .strictObject({
    dir: z
      .string()
      .regex(/^\//)
      .meta({ takes: "the absolute path of a directory" })
      .prefault("/var/tmp")
      .describe(
        "Directory for bodies that do not fit in memory. Each body is in an unlinked temporary file (mode 0600), " +
          "which the system removes even if the process crashes.",
      ),
    memory: sizeBytes
      .meta({ expert: true })
      .prefault("1MiB")
      .describe(
        "Maximum bytes of one body kept in memory before the rest goes to a file. A smaller body never touches " +
          "the disk.",
      ),
    maxPerUpload: sizeBytes.prefault(0).describe("Maximum bytes spooled per upload. 0 means no limit."),
    maxTotal: sizeBytes
      .prefault("20GiB")
      .describe(
        "Maximum bytes spooled at the same time by all uploads and workers. 0 means no limit except the disk.",
      ),
    onFull: z
      .enum(["forward", "reject"])
      .prefault("forward")
      .describe(
        "What to do if a spool limit is reached or the disk is full. `forward`: send the spooled part and then " +
          "the rest as a body of unknown size. `reject`: answer 413 (`maxPerUpload`) or 507 (`maxTotal`, disk).",
      ),
  })
  .superRefine(requireRoomPerUpload);

const imports = z.strictObject({
  verifyStaged: z
    .boolean()
    .prefault(true)
    .describe(
      "Before a `glance-direct` import, check the image with the client's token. Answer 409 if its data is not " +
        "completely staged, because Glance would import the part that is there.",
    ),
});

const shutdown = z.strictObject({
  drainTimeout: durationMs
    .prefault(0)
    .describe("Maximum time for uploads in flight to finish after SIGTERM or SIGINT. 0 means no limit."),
});

const forwarded = z.strictObject({
  trust: z
    .array(network)
    .prefault([])
    .describe(
      "Peers (addresses or networks, such as 10.0.0.0/8) whose `Forwarded` and `X-Forwarded-*` headers are kept " +
        "and extended. The headers of all other peers are replaced.",
    ),
});

const cors = z.strictObject({
  allowedOrigins: z
    .array(origin)
    .prefault([])
    .describe(
      "Origins (such as https://horizon.example) whose scripts may read the proxy's own answers. Use the same " +
        "list as Glance's `[cors] allowed_origin`.",
    ),
});

const workers = z
  .union([z.literal("auto"), z.int().min(1).max(1024)])
  .meta({ takes: "auto or an integer from 1 to 1024" })
  .prefault(1)
  .describe(
    "Number of worker processes. `auto`: one per CPU core. With more than one, a primary process serves the " +
      "admin address and aggregates metrics. Every limit applies to all workers together.",
  );

const log = z.strictObject({
  level: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .prefault("info")
    .describe("Minimum log level. Each upload logs one line at `info`."),
});

export const configSchema = z.strictObject({
  upstream: upstream.describe("The Glance behind the proxy."),
  listen: listen.prefault({}).describe("The address for clients."),
  admin: admin.prefault({}).describe("The address for operators."),
  readiness: readiness.prefault({}).describe("When `/readyz` reports that Glance is down."),
  size: size.prefault({}).describe("How the proxy learns the size of an upload and passes it to Glance."),
  limits: limits.prefault({}).describe("Limits for clients."),
  upload: upload.prefault({}).describe("How upload bodies are read."),
  rollback: rollback.prefault({}).describe("What happens after an aborted upload."),
  replay: replay
    .prefault({})
    .describe("Protection against clients that repeat an upload without rewinding the file."),
  spool: spool.prefault({}).describe("Storing bodies of unknown size, if `size.unknown` is `spool`."),
  import: imports.prefault({}).describe("Imports of staged data."),
  shutdown: shutdown.prefault({}).describe("What happens on SIGTERM and SIGINT."),
  forwarded: forwarded.prefault({}).describe("Which peers' forwarding headers are trusted."),
  cors: cors.prefault({}).describe("Browsers that upload to Glance directly (Horizon's direct upload)."),
  workers,
  log: log.prefault({}).describe("Logging to standard output."),
});

/** The configuration of the command, which listens on `listen.address`. The middleware and the doctor do not. */
export const commandSchema = configSchema.superRefine(refuseOwnAddress);

/** The effective configuration under the names of the keys: sizes in bytes, times in milliseconds. config.ts adds units to the names. */
export type ParsedConfig = z.output<typeof configSchema>;

/** The configuration as a file or a caller of {@link createGlanceSizeProxy} writes it. Only `upstream.url` is required. */
export type ConfigInput = z.input<typeof configSchema>;
