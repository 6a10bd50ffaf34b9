/** What to do about the findings. Pure. */
import type { RefusalVerdict } from "./refusals.js";
import type { ClientReport, Report } from "./report-schema.js";

const GIB = 2 ** 30;

/** Space beyond the peak of the log: the next week has another. */
const SPOOL_MARGIN = 1.25;

/** Maximum number of clients that a sentence names. */
const NAMED_CLIENTS = 3;

/** What helps, by verdict. */
const REMEDIES: Readonly<Record<RefusalVerdict, string>> = {
  size_exceeded: "The client declares a wrong size: correct it, or let it declare none.",
  size_mismatch:
    "The client declares a wrong size, or repeats an upload without rewinding its file: correct the client.",
  digest_mismatch:
    "The bytes are changed on their way, or the client sends the digest of another file: correct that.",
  invalid_size: "The client must send the size as a decimal number, once.",
  content_range: "The client sends a part of an image (curl -C, for example): let it send the whole image.",
  too_large: "Raise limits.maxImageSize (or spool.maxPerUpload), or accept that.",
  length_required: "Set size.unknown to forward or spool, or let the client declare the size.",
  busy: "Raise limits.maxConcurrentUploads or spool.maxTotal.",
};

export function advise(report: Omit<Report, "advice">): string[] {
  return [...adviseOnUndeclared(report), ...adviseOnRefusals(report), ...adviseOnEnforcing(report)];
}

function adviseOnUndeclared({ undeclared, uploads, clients }: Omit<Report, "advice">): string[] {
  if (undeclared.uploads === 0) return ["Every upload declared its size. You can set size.unknown: reject."];
  const silent = clients.filter((client) => client.undeclared > 0);
  silent.sort((a, b) => b.undeclared - a.undeclared);
  const names = silent.slice(0, NAMED_CLIENTS).map(({ program }) => program);
  const more = silent.length - names.length;
  const who = more > 0 ? `${names.join(", ")} and ${more} more` : names.join(", ");
  const share = Math.ceil((100 * undeclared.uploads) / uploads);
  const maxTotal = Math.max(1, Math.ceil((undeclared.peakBytes * SPOOL_MARGIN) / GIB));
  return [
    `${undeclared.uploads} of ${uploads} uploads (${share} %) declared no size: ${who}. If the store needs the size (S3, RBD, Cinder), ` +
      `set size.unknown: spool and spool.maxTotal: ${maxTotal}GiB, with as much disk at spool.dir. That is the peak and a quarter more.`,
  ];
}

function adviseOnRefusals({ clients, observed, uploads }: Omit<Report, "advice">): string[] {
  const get = observed === 0 ? "got" : observed === uploads ? "would get" : "got or would get";
  return clients.flatMap(({ program, refusals, peers }: ClientReport) =>
    refusals.map(({ verdict, status, uploads: count, example }) => {
      const from = peers[0] === undefined ? "" : ` (mostly from ${peers[0].address})`;
      const reason = example.reason === undefined ? "" : `: ${example.reason.replace(/\.$/, "")}`;
      const noun = count === 1 ? "upload" : "uploads";
      return `${count} ${noun} by ${program}${from} ${get} ${status} (${verdict})${reason}. ${REMEDIES[verdict]}`;
    }),
  );
}

function adviseOnEnforcing({ refused, observed }: Omit<Report, "advice">): string[] {
  if (observed === 0) return [];
  return [
    refused === 0
      ? "No upload would be refused. Set enforce: true."
      : "Correct these clients, or accept the refusals. Then set enforce: true.",
  ];
}
