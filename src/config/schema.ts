/**
 * Every configuration key: its type, unit, default and meaning. `config/default.yaml`, `--check-config`, the environment
 * variables and the documentation are derived from, or checked against, this one schema.
 *
 * Each key has a meaning (`describe`) and says what it takes (`meta({ takes })`, where its type does not say it all).
 * What turns text into something else is a codec, not a transform: `--check-config` needs the way back.
 */
import { z } from "zod";
import { durationMs, headerName, listenAddress, network, origin, sizeBytes, upstreamUrl } from "./values.js";

const pemFile = z
  .string()
  .min(1)
  .meta({ takes: "the path of a PEM file", example: "/etc/glance-size-proxy/tls.pem" });

/** A certificate is of no use without its key. */
function wantsBoth(
  { certFile, keyFile }: { certFile?: string | undefined; keyFile?: string | undefined },
  context: z.RefinementCtx,
): void {
  for (const [given, missing, key] of [
    [certFile, keyFile, "keyFile"],
    [keyFile, certFile, "certFile"],
  ] as const) {
    if (given !== undefined && missing === undefined) {
      context.addIssue({ code: "custom", path: [key], message: "missing: certFile and keyFile go together" });
    }
  }
}

const upstreamTls = z
  .strictObject({
    caFile: pemFile
      .optional()
      .describe(
        "Authorities that Glance's certificate may be of. Default: those that Node brings along, in most builds not the " +
          "system's: name an authority of your own here. Read again on SIGHUP.",
      ),
    certFile: pemFile
      .optional()
      .describe("Certificate that the proxy shows to Glance. Read again on SIGHUP."),
    keyFile: pemFile.optional().describe("Key of that certificate. Read again on SIGHUP."),
    servername: z
      .string()
      .min(1)
      .optional()
      .meta({ takes: "a host name", example: "glance.internal" })
      .describe("Name that Glance's certificate has to carry. Default: the host of `upstream.url`."),
    rejectUnauthorized: z
      .boolean()
      .prefault(true)
      .describe(
        "Refuse a Glance whose certificate does not hold. Without it anybody in between can read and change images.",
      ),
  })
  .superRefine(wantsBoth);

const listenTls = z
  .strictObject({
    certFile: pemFile
      .optional()
      .describe(
        "Certificate that clients see, with its chain. With it the proxy speaks HTTPS. Read again on SIGHUP.",
      ),
    keyFile: pemFile.optional().describe("Key of that certificate. Read again on SIGHUP."),
    clientCaFile: pemFile
      .optional()
      .describe(
        "Authorities of client certificates; with it every client has to show one. Wants `certFile`. Read again on SIGHUP.",
      ),
  })
  .superRefine(wantsBoth)
  .superRefine(({ certFile, clientCaFile }, context) => {
    // Alone it would be ignored: plain HTTP, open to everybody, where only clients with a certificate were wanted.
    if (clientCaFile !== undefined && certFile === undefined) {
      context.addIssue({
        code: "custom",
        path: ["certFile"],
        message: "missing: clientCaFile is of no use without certFile and keyFile",
      });
    }
  });

const upstream = z.strictObject({
  url: upstreamUrl.describe(
    "Where Glance listens, `http://HOST:PORT[/PATH]`, `https://...` or `unix:/PATH/OF/SOCKET`. Required. A path " +
      "behind HOST is put in front of every path sent there.",
  ),
  connectTimeout: durationMs
    .prefault("5s")
    .describe("How long a connection to Glance may take to open; then 504. 0: as long as the system allows."),
  responseTimeout: durationMs
    .prefault("1h")
    .describe(
      "The longest silence of Glance while it is Glance's turn: to answer, or to read on. Then 504. Long, because a " +
        "store may flush or detach a volume for many minutes before Glance answers an upload. 0: no limit.",
    ),
  tls: upstreamTls.prefault({}).describe("TLS towards Glance, where `upstream.url` is https."),
});

const listen = z.strictObject({
  address: listenAddress
    .prefault("0.0.0.0:9292")
    .describe("Address and port for clients; `[::1]:9292` for IPv6, port 0 takes a free one."),
  pathPrefix: z
    .string()
    .regex(/^(\/[A-Za-z0-9._~-]+)*$/)
    .meta({ takes: "a path such as /image, without a slash at its end, or nothing" })
    .prefault("")
    .describe(
      "Path under which clients reach this proxy, such as `/image`. It is removed before Glance sees the path.",
    ),
  tls: listenTls.prefault({}).describe("TLS towards clients."),
});

const admin = z.strictObject({
  address: listenAddress
    .prefault("127.0.0.1:9190")
    .describe(
      "Address and port for metrics, health and uploads in flight. It has no authentication: keep it private.",
    ),
});

const readiness = z.strictObject({
  silence: durationMs
    .refine((ms) => ms > 0)
    .meta({ takes: "a time above 0 with its unit, such as 60s" })
    .prefault("60s")
    .describe(
      "How long Glance may leave the proxy's own question unanswered before `/readyz` is 503 (`glance_silent`) and " +
        "`upstream_up` is 0. The time counts only while Glance sends no byte and takes no byte of an upload: a Glance whose " +
        "workers are all busy stays ready. If connections to Glance fail, the proxy is not ready at once.",
    ),
});

const size = z.strictObject({
  hints: z
    .array(headerName)
    .prefault(["x-image-meta-size", "upload-length", "x-upload-content-length", "x-expected-entity-length"])
    .describe("Request headers, besides `x-openstack-image-size`, in which clients may announce the size."),
  unknown: z
    .enum(["forward", "spool", "reject"])
    .prefault("forward")
    .describe(
      "What to do with a body whose size nobody announced: `forward` sends it on chunked, counted but without a size; " +
        "`spool` keeps all of it first (see `spool`), then sends it with its size; `reject` answers 411.",
    ),
  reframe: z
    .boolean()
    .prefault(true)
    .describe(
      "Send a body of declared size with `Content-Length` whatever framing the client used. A Glance before 2025.2 " +
        "reads the size from nowhere else.",
    ),
});

const limits = z.strictObject({
  maxImageSize: sizeBytes
    .prefault(0)
    .describe(
      "Largest image accepted; larger ones get 413, before the first byte where the size is declared. 0: no limit.",
    ),
  maxConcurrentUploads: z
    .int()
    .min(0)
    .prefault(0)
    .describe("Uploads at once; one more gets 429 with `Retry-After`. 0: no limit."),
  idleTimeout: durationMs
    .prefault("60s")
    .describe(
      "How long a client may make the proxy wait: by sending nothing in the middle of a body (then 408), or by reading " +
        "nothing of an answer (then its connection is closed). Time in which the proxy itself does not read, because " +
        "Glance is slower than the client, does not count. 0: no limit.",
    ),
  maxHeaderSize: sizeBytes
    .refine((bytes) => bytes >= 1024)
    .meta({ takes: "a size of at least 1KiB, such as 64KiB" })
    .prefault("64KiB")
    .describe("Largest request head; a larger one gets 431."),
});

const upload = z.strictObject({
  relay: z
    .enum(["auto", "raw", "stream"])
    .prefault("auto")
    .describe(
      "How bodies are read. `auto`: those of 1 MiB and more or of an unknown size, on plain-TCP connections, from the socket " +
        "itself, for far less CPU time, where a check at the start shows that this Node allows it. `raw`: small ones too. " +
        "`stream`: none. The metric `relay_info` tells which it is.",
    ),
});

const rollback = z.strictObject({
  verify: z
    .boolean()
    .prefault(true)
    .describe("After an aborted upload, answer only once Glance has put the image back to `queued`."),
  timeout: durationMs
    .prefault("10s")
    .describe(
      "How long to wait for that; then the client is told that the image was not yet put back. 0: the image is not looked at.",
    ),
  interval: durationMs
    .refine((ms) => ms > 0)
    .meta({ takes: "a time above 0 with its unit, such as 100ms" })
    .prefault("100ms")
    .describe("Time between two looks at the image while waiting."),
});

const replay = z.strictObject({
  guard: z
    .boolean()
    .prefault(true)
    .describe(
      "After an upload failed with 401, 502, 503 or a broken connection, refuse the next upload of the same image by the same " +
        "client program if it is shorter than the first one declared, or empty. Such clients send the rest of a file that they " +
        "have already read. An upload with `x-openstack-image-size` is never refused for that.",
    ),
  window: durationMs
    .prefault("60s")
    .describe("How long a failed upload is remembered for that. 0: not at all."),
});

const spool = z.strictObject({
  dir: z
    .string()
    .regex(/^\//)
    .meta({ takes: "the absolute path of a directory" })
    .prefault("/var/tmp")
    .describe(
      "Where bodies are kept that do not fit in memory, each in a file without a name that nobody else can open.",
    ),
  memory: sizeBytes
    .prefault("1MiB")
    .describe(
      "How much of a body is kept in memory before any goes to the file; a smaller body never touches the disk.",
    ),
  maxPerUpload: sizeBytes.prefault(0).describe("Most bytes kept of one upload. 0: no limit."),
  maxTotal: sizeBytes
    .prefault("20GiB")
    .describe(
      "Most bytes kept of all uploads together, reserved before they are used. 0: no limit but the disk.",
    ),
  onFull: z
    .enum(["forward", "reject"])
    .prefault("forward")
    .describe(
      "What to do when a bound is reached or the disk is full: `forward` sends what was kept and then the rest as a body " +
        "of unknown size; `reject` answers 413 (`maxPerUpload`) or 507 (`maxTotal`, disk).",
    ),
});

const imports = z.strictObject({
  verifyStaged: z
    .boolean()
    .prefault(true)
    .describe(
      "Before a `glance-direct` import look the image up, and answer 409 while its data is not staged whole: Glance would " +
        "make an image of the part that is there.",
    ),
});

const shutdown = z.strictObject({
  drainTimeout: durationMs
    .prefault(0)
    .describe("How long uploads in flight may take to finish after SIGTERM. 0: as long as they take."),
});

const forwarded = z.strictObject({
  trust: z
    .array(network)
    .prefault([])
    .describe(
      "Peers (addresses or networks, such as 10.0.0.0/8) whose `Forwarded` and `X-Forwarded-*` headers are kept and " +
        "continued; those of any other peer are replaced.",
    ),
});

const cors = z.strictObject({
  allowedOrigins: z
    .array(origin)
    .prefault([])
    .describe(
      "Origins (such as https://horizon.example) whose scripts may read the answers that the proxy makes itself. Same " +
        "list as Glance's own `[cors] allowed_origin`.",
    ),
});

const workers = z
  .union([z.literal("auto"), z.int().min(1)])
  .meta({ takes: "auto or a whole number from 1" })
  .prefault(1)
  .describe(
    "Processes that carry requests; `auto`: one a core. With more than one, another process is above them, which serves " +
      "the admin address and adds up what they do; every limit holds for all of them together.",
  );

const log = z.strictObject({
  level: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .prefault("info")
    .describe("Least level that is logged. One line an upload is logged at `info`."),
});

export const configSchema = z.strictObject({
  upstream: upstream.describe("The Glance behind the proxy."),
  listen: listen.prefault({}).describe("Where clients reach the proxy."),
  admin: admin.prefault({}).describe("Where operators reach the proxy."),
  readiness: readiness.prefault({}).describe("When Glance counts as down."),
  size: size.prefault({}).describe("How the size of an upload is learned and passed on."),
  limits: limits.prefault({}).describe("What a client may ask for."),
  upload: upload.prefault({}).describe("How upload bodies are carried."),
  rollback: rollback.prefault({}).describe("What happens after an aborted upload."),
  replay: replay.prefault({}).describe("Uploads whose client repeats a body that it has already read."),
  spool: spool.prefault({}).describe("Keeping bodies of unknown size, where `size.unknown` is `spool`."),
  import: imports.prefault({}).describe("Imports of staged data."),
  shutdown: shutdown.prefault({}).describe("What happens on SIGTERM and SIGINT."),
  forwarded: forwarded.prefault({}).describe("Whose forwarding headers are believed."),
  cors: cors.prefault({}).describe("Browsers that talk to Glance directly (Horizon's direct upload)."),
  workers,
  log: log.prefault({}).describe("Logging to standard output."),
});

/** The effective configuration: sizes in bytes, times in milliseconds, addresses split. */
export type Config = z.output<typeof configSchema>;

/** What a file or a caller of {@link createGlanceSizeProxy} may write: every key but `upstream.url` optional. */
export type ConfigInput = z.input<typeof configSchema>;
