/** The report as a text for a terminal. Pure. */
import type { Report } from "./report-schema.js";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Addresses of a client that the table names. */
const SHOWN_PEERS = 3;

export function renderReport(report: Report): string {
  return [
    summary(report),
    "Clients\n",
    table(["client", "program", "uploads", "no size", "refused", "most uploads from"], clientRows(report)),
    "",
    ...refusals(report),
    "Spool, if uploads without a declared size are spooled\n",
    spool(report),
    "Advice\n",
    ...report.advice.map((advice) => `- ${printable(advice)}`),
    "",
  ].join("\n");
}

function summary({ lines, from, to, uploads, observed, refused, undeclared }: Report): string {
  const broken = lines.broken === 0 ? "" : ` ${lines.broken} lines could not be read.`;
  const mode = observed === uploads ? "" : ` ${observed} of them were only observed (enforce: false).`;
  return (
    `${uploads} uploads from ${minute(from)} to ${minute(to)} UTC.${mode}${broken}\n` +
    `${refused} ${observed === 0 ? "were refused" : "would be refused with enforce: true"}. ` +
    `${undeclared.uploads} declared no size.\n`
  );
}

function clientRows({ clients }: Report): string[][] {
  return clients.map(({ client, program, uploads, undeclared, refusals: refused, peers, otherPeers }) => {
    const shown = peers.slice(0, SHOWN_PEERS);
    const others = otherPeers + peers.slice(SHOWN_PEERS).reduce((sum, peer) => sum + peer.uploads, 0);
    const from = shown.map((peer) => `${peer.address} (${peer.uploads})`);
    if (others > 0) from.push(`others (${others})`);
    const refusedUploads = refused.reduce((sum, refusal) => sum + refusal.uploads, 0);
    return [client, program, ...[uploads, undeclared, refusedUploads].map(String), from.join(", ")];
  });
}

function refusals({ clients }: Report): string[] {
  const rows = clients.flatMap(({ program, refusals: refused }) =>
    refused.map(({ verdict, status, uploads, example }) => [
      ...[program, String(uploads), status, verdict, example.requestId],
      example.reason ?? "",
    ]),
  );
  if (rows.length === 0) return [];
  return ["Refusals\n", table(["program", "uploads", "status", "verdict", "example", "reason"], rows), ""];
}

function spool({ undeclared: { uploads, totalBytes, largestBytes, peakBytes, peakAt } }: Report): string {
  const at = peakAt === undefined ? "" : ` (${minute(peakAt)} UTC)`;
  return [
    `  uploads           ${uploads}`,
    `  all together      ${formatBytes(totalBytes)}`,
    `  largest           ${formatBytes(largestBytes)}`,
    `  at the same time  ${formatBytes(peakBytes)}${at}\n`,
  ].join("\n");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].map((row) => row.map(printable));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd())
    .join("\n");
}

/** Clients choose these texts, which must not control the terminal. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
}

function minute(timestamp: string): string {
  return timestamp.slice(0, 16).replace("T", " ");
}

function formatBytes(bytes: number): string {
  const unit = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), UNITS.length - 1);
  return `${Number((bytes / 1024 ** unit).toPrecision(4))} ${UNITS[unit]}`;
}
