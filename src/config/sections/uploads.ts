/** The keys about uploads and imports: limits, and what happens if one fails. Part of the schema. */
import { z } from "zod";
import { requireRoomPerUpload } from "../rules.js";
import { durationMs, hostEntry, sizeBytes } from "../values.js";

export const enforce = z
  .boolean()
  .prefault(true)
  .describe(
    "Refuse uploads that break the rules about sizes. `false`, for the first week in front of a cloud: uploads are passed on " +
      "as they come, with the client's own framing and headers. No upload is refused for its size, spooled or reframed. " +
      "The log, `/uploads` and `uploads_observed_total` tell what would have been refused. These are refused nevertheless: " +
      "requests that two servers could read differently, clients that stall, and uploads beyond " +
      "`limits.maxConcurrentUploads`.",
  );

export const limits = z.strictObject({
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

export const upload = z.strictObject({
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

export const rollback = z.strictObject({
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

export const replay = z.strictObject({
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

export const spool = z
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

export const quota = z.strictObject({
  precheck: z
    .enum(["auto", "off"])
    .prefault("off")
    .describe(
      "When to check a project's quota. `auto`: before an upload of declared size, ask Glance for the project's usage (`GET /v2/info/usage`, with the client's " +
        "token), and answer 413 if the image does not fit into the quota, as Glance itself does from 2026.2 on. Earlier " +
        "releases accept such an upload. If Glance has no such quotas or does not answer within `quota.timeout`, the upload " +
        "goes on. `off`: do not ask, which saves a request and Glance's requests to Keystone for each upload.",
    ),
  timeout: durationMs
    .refine((ms) => ms > 0)
    .meta({ takes: "a time above 0 with a unit, such as 2s", expert: true })
    .prefault("2s")
    .describe(
      "Maximum time for each question of `quota.precheck`. Glance asks Keystone several times to answer it.",
    ),
});

const webDownload = z.strictObject({
  schemes: z
    .array(z.enum(["http", "https"]))
    .prefault([])
    .describe("Schemes that the URI of a `web-download` may have. Empty means http and https."),
  hosts: z
    .array(hostEntry)
    .prefault([])
    .describe(
      "Hosts from which Glance may download: names, `*.example.org` (every name below example.org), addresses and " +
        "networks. Empty means every public host. An entry that names a private host or network allows it.",
    ),
  deny: z
    .array(hostEntry)
    .prefault([])
    .describe("Hosts from which Glance may not download, in the same form. They win over `hosts`."),
});

export const imports = z.strictObject({
  methods: z
    .array(
      z
        .string()
        .regex(/^[a-z0-9_-]+$/)
        .meta({ takes: "import methods, such as glance-direct" }),
    )
    .prefault([])
    .describe(
      "Import methods that clients may use, such as glance-direct, web-download, glance-download or copy-image. Any " +
        "other method gets 403. Empty means all methods that Glance allows.",
    ),
  webDownload: webDownload
    .prefault({})
    .describe(
      "URIs from which Glance may download image data (`web-download`, and tasks of type `import`). If a key of this " +
        "section is set, every other URI gets 403, and so do private, loopback and link-local hosts. See docs/imports.md.",
    ),
  verifyStaged: z
    .boolean()
    .prefault(true)
    .describe(
      "Before a `glance-direct` import, check the image with the client's token. Answer 409 if its data is not " +
        "completely staged, because Glance would import the part that is there.",
    ),
});
