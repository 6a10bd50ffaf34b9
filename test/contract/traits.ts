/** What differs between the servers that Glance runs under: facts of these servers, each of them asserted by the suites. */
import type { GlanceServer } from "../support/glance-servers.js";

export interface GlanceTraits {
  /** Who answers `Expect: 100-continue` with a 100: Glance with its first read of the body, the server with the head, or nobody. */
  readonly says100: "glance" | "server" | "nobody";
  /** Whether a refusal comes before the body; else it comes only after the last byte of the body. */
  readonly refusesEarly: boolean;
  /** Whether a client that has ended its side in the middle of a body is still answered. */
  readonly answersHalfClosed: boolean;
  /** Incomplete ends of a chunked body that are taken for its end once the connection closes. */
  readonly takenForLastChunk: readonly string[];
}

export const TRAITS: Readonly<Record<Exclude<GlanceServer, "apache-proxy">, GlanceTraits>> = {
  eventlet: {
    says100: "glance",
    refusesEarly: true,
    answersHalfClosed: true,
    takenForLastChunk: ["0", "0\r\n", "0\r\n\r"],
  },
  uwsgi: {
    says100: "nobody",
    refusesEarly: true,
    answersHalfClosed: true,
    takenForLastChunk: ["0\r\n", "0\r\n\r"],
  },
  "uwsgi-router": {
    says100: "nobody",
    refusesEarly: true,
    answersHalfClosed: false,
    takenForLastChunk: ["0\r\n", "0\r\n\r"],
  },
  // Apache reads a body to its end before it reads what Glance has answered.
  apache: {
    says100: "server",
    refusesEarly: false,
    answersHalfClosed: true,
    takenForLastChunk: [],
  },
};

/** Stricter than a real Glance in the last point: see its own description. */
export const STAND_IN_TRAITS: GlanceTraits = { ...TRAITS.eventlet, takenForLastChunk: [] };
