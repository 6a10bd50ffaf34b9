/** The state in the page's header, with an explanation for operators. Pure. */
import type { Overview } from "../overview.js";
import { formatClock } from "./format.js";

/** Whether events arrive from the proxy. */
export type Connection = "connecting" | "live" | "lost";

export interface State {
  readonly tone: "quiet" | "good" | "warning" | "bad";
  readonly name: string;
  /** Absent if nothing is wrong. */
  readonly explanation?: string;
}

export function stateOf(connection: Connection, overview: Overview | undefined): State {
  if (connection === "lost") return lost(overview);
  switch (overview?.state) {
    case undefined:
      return { tone: "quiet", name: "Connecting", explanation: "Connecting to /events ..." };
    case "ready":
      return ready(overview?.glance);
    case "glance_unreachable":
      return {
        tone: "bad",
        name: "Glance unreachable",
        explanation: "The proxy cannot connect to Glance. Until it can, all requests fail with 502 or 504.",
      };
    case "glance_silent":
      return {
        tone: "bad",
        name: "Glance silent",
        explanation:
          "Glance accepts connections, but neither reads nor answers. Until it does, all requests wait and then fail with 504.",
      };
    case "not_listening":
      return {
        tone: "bad",
        name: "Not listening",
        explanation: "No worker can start, so clients cannot connect. The log has the reason.",
      };
    case "draining":
      return {
        tone: "warning",
        name: "Draining",
        explanation:
          "The proxy is shutting down. It accepts no new connections and exits when the uploads in flight have finished.",
      };
  }
}

function ready(glance: Overview["glance"]): State {
  switch (glance) {
    case undefined:
    case "answers":
      return { tone: "good", name: "Glance ready" };
    case "slow":
      return {
        tone: "warning",
        name: "Glance slow",
        explanation: "Glance took more than a second to answer a small request.",
      };
    case "busy":
      return {
        tone: "warning",
        name: "Glance busy",
        explanation:
          "Glance did not answer within two seconds; all its workers may be busy. Uploads in flight continue. New requests " +
          "wait for a free worker.",
      };
  }
}

function lost(overview: Overview | undefined): State {
  const since = overview && formatClock(Date.parse(overview.now));
  return {
    tone: "bad",
    name: "Connection lost, reconnecting",
    explanation: [
      ...(since === undefined
        ? [
            "No event has come from /events: the proxy's admin address does not respond, or a server on the way buffers the stream.",
          ]
        : ["The proxy's admin address does not respond.", `This page shows the state at ${since}.`]),
      ...(overview?.state === "draining"
        ? ["The proxy was draining, so it may have exited as requested."]
        : []),
    ].join(" "),
  };
}
