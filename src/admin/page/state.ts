/** The one state that the page is in, and what it means for who looks. Pure. */
import type { Overview } from "../overview.js";
import { formatClock } from "./format.js";

/** Whether the proxy is heard. */
export type Connection = "connecting" | "live" | "lost";

export interface State {
  readonly tone: "quiet" | "good" | "warning" | "bad";
  readonly name: string;
  /** Absent where all is well. */
  readonly explanation?: string;
}

export function stateOf(connection: Connection, overview: Overview | undefined): State {
  if (connection === "lost") return lost(overview);
  switch (overview?.state) {
    case undefined:
      return { tone: "quiet", name: "Connecting" };
    case "ready":
      return ready(overview?.glance);
    case "glance_unreachable":
      return {
        tone: "bad",
        name: "Glance unreachable",
        explanation:
          "Connections to Glance fail. Until they open, uploads and everything else fail with 502 or 504.",
      };
    case "glance_silent":
      return {
        tone: "bad",
        name: "Glance silent",
        explanation:
          "Glance accepts connections, but neither reads nor answers. Until it does, uploads and everything else wait, " +
          "and then fail with 504.",
      };
    case "not_listening":
      return {
        tone: "bad",
        name: "Not listening",
        explanation: "No worker can be started, so no client can connect. The log says what is missing.",
      };
    case "draining":
      return {
        tone: "warning",
        name: "Draining",
        explanation:
          "The proxy is shutting down: it takes no new connections, and ends when the uploads in flight have.",
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
        explanation: "Glance took more than a second to answer a request that asks for little.",
      };
    case "busy":
      return {
        tone: "warning",
        name: "Glance busy",
        explanation:
          "Glance has not answered within two seconds: all its workers may be taken. What is in flight goes on; new " +
          "requests wait for a free worker.",
      };
  }
}

function lost(overview: Overview | undefined): State {
  const since = overview && formatClock(Date.parse(overview.now));
  return {
    tone: "bad",
    name: "Stream lost, reconnecting",
    explanation: [
      "Nothing is heard from the proxy's admin address.",
      ...(since === undefined ? [] : [`What is shown was so at ${since}.`]),
      ...(overview?.state === "draining" ? ["It was draining: it may have ended as asked."] : []),
    ].join(" "),
  };
}
