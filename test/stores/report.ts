/** `docs/stores.md`: what a run of the tests saw, and what follows from it. */
import { writePage } from "../../bench/markdown.js";
import { markdownTable } from "../../bench/table.js";
import { run } from "../support/run.js";
import { CINDER_IMAGE_BYTES } from "./cinder-store.js";
import { CUT_AT, IMAGE_BYTES, MIB } from "./tested-store.js";

export type TestedServer = "eventlet" | "uwsgi";

interface Row {
  readonly store: string;
  readonly server: TestedServer;
  readonly way: string;
}

export interface UploadRow extends Row {
  /** What Glance asked of the store. */
  readonly operations: string;
}

export interface CutRow extends Row {
  readonly cut: string;
  /** To the client; empty if it is gone. */
  readonly answer: string;
  /** In the store. */
  readonly left: string;
}

const PAGE = "docs/stores.md";
const SERVER_NAMES = { eventlet: "eventlet", uwsgi: "uWSGI" };
const PACKAGES = [
  ...["glance-api", "python3-glance-store", "ceph-osd", "python3-swift", "python3-cinder", "python3-boto3"],
  ...["python3-swiftclient", "uwsgi-core"],
];

export async function writeReport(uploads: readonly UploadRow[], cuts: readonly CutRow[]): Promise<void> {
  const uploaded = bothServers(uploads, ({ store, way, operations }) => [store, way, operations]);
  const cut = bothServers(cuts, (row) => [row.store, row.way, row.cut, row.answer, row.left]);
  const today = new Date().toISOString().slice(0, 10);
  await writePage(
    PAGE,
    `# Stores

<!-- Written by \`npm run stores\`. Do not edit it: edit test/stores/report.ts. -->

${CONCLUSIONS}

## Whole uploads

Each image was \`active\` with its size afterwards, its download had the same SHA-256, and nothing stayed in the store after it was deleted.

${markdownTable([["store", "way", "Glance asks of the store", "under"], ...uploaded])}

## Uploads that end early or have a wrong size

Each image was \`queued\` without a size afterwards.

${markdownTable([["store", "way", "what is wrong", "answer", "stays in the store", "under"], ...cut])}

## How this was measured

\`npm run stores\` on ${today}, Node ${process.version}, Debian 12: ${await versions()}. An image of ${IMAGE_BYTES} bytes (20 MiB and 7 bytes; Cinder: ${CINDER_IMAGE_BYTES} bytes, 1 GiB and 7 bytes) in
pieces of 64 KiB. S3 is Swift's own (\`s3api\`); S3 and Swift are told to store in parts of 8 MiB from 8 MiB on, so that
${Math.ceil(IMAGE_BYTES / (8 * MIB))} parts are enough. Clients that go away do so after ${CUT_AT} bytes. Operations are counted between Glance and the store (S3, Swift, Cinder), or in Glance's log (RBD). RBD and
Cinder use a Ceph of one monitor and one OSD, which keeps its objects in memory. Cinder on NFS is not part of this run.
`,
  );
}

const CONCLUSIONS = `What a real Glance asks of each kind of store for an upload, and what stays there if the upload fails: sent directly to Glance, and through the
proxy. Glance is a release that takes the size of an upload from \`Content-Length\` only.

What follows for \`size.unknown\`, the choice for uploads whose client declares no size:

| store | choose | reason |
| --- | --- | --- |
| file | \`forward\` | Glance writes the file in order, with or without a size. |
| RBD | \`spool\`; \`forward\` if the proxy has no fast disk | Without a size, Glance makes the RBD image larger again and again while it writes. |
| S3 | \`spool\` | Without a size, Glance keeps the whole image in memory and sends it with one PUT, which S3 limits to 5 GiB. |
| Swift | \`forward\` | Large images are stored in segments either way. Without a size, small images are too. |
| Cinder | \`spool\` | Without a size, Glance extends the volume and attaches it again after each GiB. |

- A size that the client declares in \`x-openstack-image-size\` helps only through the proxy, which sends it as \`Content-Length\`. The store then does the
  same as for a client that sends \`Content-Length\`.
- Every upload that was cut or had a wrong size left its image \`queued\`, and the store empty. The exception is S3 with a known size: Glance
  does not end the multipart upload, directly or through the proxy. Add a lifecycle rule \`AbortIncompleteMultipartUpload\` to the bucket.`;

/** One row for both servers if they do not differ. */
function bothServers<One extends Row>(rows: readonly One[], cells: (row: One) => string[]): string[][] {
  const servers = new Map<string, { cells: string[]; names: Set<string> }>();
  for (const row of rows) {
    const key = cells(row).join("|");
    const known = servers.get(key) ?? { cells: cells(row), names: new Set<string>() };
    known.names.add(SERVER_NAMES[row.server]);
    servers.set(key, known);
  }
  return [...servers.values()].map(({ cells: row, names }) => [...row, [...names].join(", ")]);
}

async function versions(): Promise<string> {
  const format = "${Package} ${Version}, ";
  const { stdout } = await run("/usr/bin/dpkg-query", ["--show", `--showformat=${format}`, ...PACKAGES]);
  return stdout.slice(0, -2);
}
