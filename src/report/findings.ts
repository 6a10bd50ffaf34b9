/** Adds up the uploads of a log, in an amount of memory that does not grow with the log. Pure. */
import { clientKind } from "../observe/client-kind.js";
import { advise } from "./advice.js";
import type { LoggedUpload } from "./log-lines.js";
import { ConcurrentBytes } from "./peak.js";
import { isRefusal, REFUSALS, type RefusalVerdict } from "./refusals.js";
import type { ClientReport, Report } from "./report-schema.js";

/** Maximum number of programs. Clients choose their `User-Agent`. The uploads of the others are added up by client. */
const MOST_PROGRAMS = 200;
const OTHER_PROGRAMS = "(other programs)";
const NO_PROGRAM = "(no User-Agent)";
const MOST_PROGRAM_LENGTH = 60;

/** Maximum number of addresses of a program. */
const MOST_PEERS = 1_000;
const SHOWN_PEERS = 10;

interface Refusal {
  uploads: number;
  readonly example: ClientReport["refusals"][number]["example"];
}

interface Client {
  readonly client: ClientReport["client"];
  readonly program: string;
  uploads: number;
  undeclared: number;
  readonly refusals: Map<RefusalVerdict, Refusal>;
  readonly peers: Map<string, number>;
}

export class Findings {
  readonly #clients = new Map<string, Client>();
  readonly #spooled = new ConcurrentBytes();
  readonly #undeclared = { uploads: 0, totalBytes: 0, largestBytes: 0 };
  #uploads = 0;
  #observed = 0;
  #refused = 0;
  #fromMs = Number.POSITIVE_INFINITY;
  #toMs = Number.NEGATIVE_INFINITY;

  get uploads(): number {
    return this.#uploads;
  }

  add(upload: LoggedUpload): void {
    const { startedAt: startMs, durationSeconds, peer, verdict, outcome, sizeSource } = upload;
    const endMs = startMs + durationSeconds * 1_000;
    this.#uploads += 1;
    if (verdict !== undefined) this.#observed += 1;
    this.#fromMs = Math.min(this.#fromMs, startMs);
    this.#toMs = Math.max(this.#toMs, endMs);
    const client = this.#clientOf(upload);
    client.uploads += 1;
    if (peer !== undefined && (client.peers.size < MOST_PEERS || client.peers.has(peer))) {
      client.peers.set(peer, (client.peers.get(peer) ?? 0) + 1);
    }
    const judged = verdict ?? outcome;
    if (isRefusal(judged)) this.#addRefusal(client, judged, upload);
    // A client that sends an invalid size knows the size.
    if (judged === "invalid_size") return;
    if (sizeSource !== "unknown" && sizeSource !== "spooled") return;
    client.undeclared += 1;
    this.#addUndeclared(startMs, endMs, upload.receivedBytes);
  }

  #addRefusal(client: Client, verdict: RefusalVerdict, upload: LoggedUpload): void {
    this.#refused += 1;
    const refusal = client.refusals.get(verdict);
    if (refusal) {
      refusal.uploads += 1;
      return;
    }
    const { requestId, imageId } = upload;
    const reason = upload.verdictReason ?? upload.reason;
    client.refusals.set(verdict, { uploads: 1, example: { requestId, imageId, reason } });
  }

  #addUndeclared(startMs: number, endMs: number, receivedBytes: number): void {
    const undeclared = this.#undeclared;
    undeclared.uploads += 1;
    undeclared.totalBytes += receivedBytes;
    undeclared.largestBytes = Math.max(undeclared.largestBytes, receivedBytes);
    this.#spooled.add(startMs, endMs, receivedBytes);
  }

  #clientOf({ userAgent }: LoggedUpload): Client {
    const client = clientKind(userAgent);
    const program = programOf(userAgent);
    const known = this.#clients.get(`${client} ${program}`);
    if (known) return known;
    const shown = this.#clients.size < MOST_PROGRAMS ? program : OTHER_PROGRAMS;
    const key = `${client} ${shown}`;
    const added = this.#clients.get(key) ?? {
      ...{ client, program: shown, uploads: 0, undeclared: 0 },
      refusals: new Map<RefusalVerdict, Refusal>(),
      peers: new Map<string, number>(),
    };
    this.#clients.set(key, added);
    return added;
  }

  /** Call it after at least one upload. */
  report(lines: Report["lines"]): Report {
    const peak = this.#spooled.peak();
    const report = {
      lines,
      from: new Date(this.#fromMs).toISOString(),
      to: new Date(this.#toMs).toISOString(),
      uploads: this.#uploads,
      observed: this.#observed,
      refused: this.#refused,
      undeclared: {
        ...this.#undeclared,
        peakBytes: peak?.bytes ?? 0,
        ...(peak && { peakAt: new Date(peak.atMs).toISOString() }),
      },
      clients: [...this.#clients.values()].map(reportClient).sort((a, b) => b.uploads - a.uploads),
    };
    return { ...report, advice: advise(report) };
  }
}

function programOf(userAgent = ""): string {
  const [word = ""] = userAgent.trim().split(/\s/, 1);
  return word === "" ? NO_PROGRAM : word.slice(0, MOST_PROGRAM_LENGTH);
}

function reportClient({ peers, refusals, ...client }: Client): ClientReport {
  const shown = [...peers].sort(([, a], [, b]) => b - a).slice(0, SHOWN_PEERS);
  return {
    ...client,
    refusals: [...refusals]
      .map(([verdict, { uploads, example }]) => ({ verdict, status: REFUSALS[verdict], uploads, example }))
      .sort((a, b) => b.uploads - a.uploads),
    peers: shown.map(([address, uploads]) => ({ address, uploads })),
    otherPeers: client.uploads - shown.reduce((sum, [, uploads]) => sum + uploads, 0),
  };
}
