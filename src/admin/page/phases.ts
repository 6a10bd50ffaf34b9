/** Where the time of an upload went. Pure. */
import type { UploadView } from "../../observe/uploads-registry.js";

export interface Phase {
  /** Also the class of its part of the bar. */
  readonly kind: "client" | "glance" | "answer" | "spool" | "rollback" | "proxy";
  readonly name: string;
  readonly seconds: number;
}

/** An upload that took less shows no slow side: nobody asks for one. */
const LONG_SECONDS = 10;

/** @returns who made a long upload wait longer, with the share of its duration; undefined for a short one. */
export function slowSideOf({ durationSeconds, waitClient, waitGlance }: UploadView): string | undefined {
  if (durationSeconds < LONG_SECONDS) return undefined;
  const [name, seconds] = waitClient > waitGlance ? ["client", waitClient] : ["Glance", waitGlance];
  return `${name} ${Math.min(100, Math.round((100 * seconds) / durationSeconds))} %`;
}

/** The phases in the order of an upload. Client, Glance and answer are always there; the others if they took time. */
export function phasesOf(upload: UploadView): Phase[] {
  const { waitClient, waitGlance, lastByteToAnswer = 0, waitRollback = 0, durationSeconds } = upload;
  const spool = (upload.spoolWrite ?? 0) + (upload.spoolRead ?? 0);
  // The waits do not overlap, and the time to the answer is a part of the wait for Glance.
  const proxy = Math.max(0, durationSeconds - waitClient - waitGlance - spool - waitRollback);
  const phases: Phase[] = [
    { kind: "client", name: "client sends", seconds: waitClient },
    { kind: "spool", name: "spool", seconds: spool },
    { kind: "glance", name: "Glance reads", seconds: Math.max(0, waitGlance - lastByteToAnswer) },
    { kind: "answer", name: "Glance answers", seconds: lastByteToAnswer },
    { kind: "rollback", name: "Glance puts the image back", seconds: waitRollback },
    { kind: "proxy", name: "proxy", seconds: proxy },
  ];
  return phases.filter(({ kind, seconds }) => seconds > 0 || ["client", "glance", "answer"].includes(kind));
}
