/** Asks Glance how it is doing, and tells a busy Glance from a dead one. */
import type { GlanceState } from "../vocabulary/labels.js";
import { onceConnected, type Upstream } from "../upstream/upstream.js";
import { toUpstreamError } from "../upstream/failures.js";

/** Shorter than the timeouts of usual probes, so that a probe sees the reason and not its own timeout. */
const PATIENCE_MS = 2_000;
const SLOW_MS = 1_000;
/** While a question waits for its answer, another is asked no more often: each takes a place in Glance's listen queue. */
const REPEAT_MS = 10_000;
/** `recent` asks Glance no more often. */
const RECENT_INTERVAL_MS = 3_000;
/** A state heard longer ago is worth nothing: nobody has asked for a while. Above interval and patience together. */
const STALE_MS = 10_000;

export interface GlanceWatch {
  /** Asks Glance. Settles within two seconds. */
  look(): Promise<GlanceState>;
  /** For a caller that asks every second: does not ask Glance each time, and does not wait for the answer. */
  recent(): Promise<GlanceState>;
  /** Drops the questions that wait for an answer. */
  close(): void;
}

export interface GlanceWatchOptions {
  readonly upstream: Pick<Upstream, "request">;
  /** `readiness.silence` */
  readonly silenceMs: number;
  /** When Glance last sent a byte or took one of a body, to any process of this proxy, on the clock of `performance.now()`. */
  readonly lastActivity: () => number;
}

interface Question {
  readonly askedAt: number;
  isConnected: boolean;
  end(): void;
}

export function createGlanceWatch({ upstream, silenceMs, lastActivity }: GlanceWatchOptions): GlanceWatch {
  /** Not answered yet, the oldest first. Each waits for `readiness.silence`: a busy Glance answers when a worker is free. */
  const questions = new Set<Question>();
  const listeners = new Set<(state: GlanceState) => void>();
  /** When Glance was first asked without an answer since its last activity. */
  let silentSince: number | undefined;
  let heard: { readonly state: GlanceState; readonly at: number } | undefined;
  let looking: Promise<GlanceState> | undefined;

  const newest = (): Question | undefined => [...questions].at(-1);

  function tell(state: GlanceState): void {
    for (const listener of listeners) listener(state);
  }

  /** Any HTTP answer will do: what Glance thinks of its stores or of Keystone is not the proxy's readiness. */
  function ask(): Question {
    const askedAt = performance.now();
    const request = upstream.request("GET", "/versions", [{ name: "accept", value: "application/json" }]);
    const question: Question = {
      askedAt,
      isConnected: false,
      end() {
        questions.delete(question);
        clearTimeout(timer);
        request.destroy();
      },
    };
    const timer = setTimeout(() => question.end(), silenceMs);
    questions.add(question);
    request.once("socket", (socket) => onceConnected(socket, () => (question.isConnected = true)));
    request.once("response", (response) => {
      clearTimeout(timer);
      questions.delete(question);
      for (const other of questions) other.end(); // one answer is enough
      silentSince = undefined;
      response.resume();
      tell(performance.now() - askedAt > SLOW_MS ? "slow" : "answers");
    });
    request.on("error", (error) => {
      if (!questions.has(question)) return; // answered, or ended by us
      question.end();
      // A router in front of Glance, such as uWSGI's, ends a request whose answer is late. That says nothing of Glance.
      const isLate = performance.now() - askedAt > PATIENCE_MS;
      if (!isLate || toUpstreamError(error).code !== "upstream_reset") tell("unreachable");
      else if (listeners.size > 0 && questions.size === 0) ask();
    });
    request.end();
    return question;
  }

  /** @returns what the answer tells, or undefined if there is none in time. */
  function listen(patienceMs: number): Promise<GlanceState | undefined> {
    if (patienceMs <= 0) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const settle = (state?: GlanceState): void => {
        listeners.delete(settle);
        clearTimeout(timer);
        resolve(state);
      };
      const timer = setTimeout(settle, patienceMs);
      listeners.add(settle);
    });
  }

  function unanswered(): GlanceState {
    const now = performance.now();
    const question = newest();
    if (question && !question.isConnected && now - question.askedAt >= PATIENCE_MS) return "unreachable";
    const since = silentSince ?? now;
    return lastActivity() <= since && now - since >= silenceMs ? "silent" : "busy";
  }

  async function look(): Promise<GlanceState> {
    const now = performance.now();
    if (silentSince === undefined || lastActivity() > silentSince) silentSince = now;
    let question = newest();
    if (question === undefined || now - question.askedAt >= REPEAT_MS) question = ask();
    return (await listen(question.askedAt + PATIENCE_MS - now)) ?? unanswered();
  }

  return {
    look,

    async recent() {
      const age = performance.now() - (heard?.at ?? -Infinity);
      if (age > RECENT_INTERVAL_MS) {
        looking ??= look().finally(() => {
          looking = undefined;
        });
        void looking.then((state) => {
          heard = { state, at: performance.now() };
        });
      }
      return heard !== undefined && age <= STALE_MS ? heard.state : (looking ?? look());
    },

    close() {
      for (const question of questions) question.end();
    },
  };
}
