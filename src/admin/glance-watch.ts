/** Asks Glance for its state, and tells a busy Glance from one that is down. */
import { toUpstreamError } from "../upstream/failures.js";
import { readSmallAnswer } from "../upstream/small-answer.js";
import { onceConnected, type Upstream } from "../upstream/upstream.js";
import type { GlanceState } from "../vocabulary/labels.js";

/** How long `look` waits for Glance. Below the usual timeout of a health probe, so that the probe receives the reason. */
const ANSWER_TIMEOUT_MS = 2_000;
/** An answer that took longer than this means `slow`. */
const SLOW_MS = 1_000;
/** Minimum time between two questions while one waits for its answer: each occupies an entry of Glance's listen queue. */
const REPEAT_MS = 10_000;
/** Minimum time between two questions of `recent`. */
const RECENT_INTERVAL_MS = 3_000;
/** `recent` does not return a state older than this. Must exceed {@link RECENT_INTERVAL_MS} plus {@link ANSWER_TIMEOUT_MS}. */
const STALE_MS = 10_000;

export interface GlanceWatch {
  /** Asks Glance. Settles within two seconds. */
  look(): Promise<GlanceState>;
  /** As `look`, for a caller that calls every second: asks Glance every three seconds and returns the last known state. */
  recent(): Promise<GlanceState>;
  /** Asks with other options from now on. What was seen stays valid, unless this is another Glance. */
  reload(next: Pick<GlanceWatchOptions, "upstream" | "silenceMs">, isSameGlance: boolean): void;
  /** Drops the questions that wait for an answer. */
  close(): void;
}

export interface GlanceWatchOptions {
  readonly upstream: Pick<Upstream, "request">;
  /** `readiness.silence`, milliseconds. */
  readonly silenceMs: number;
  /**
   * When Glance last sent a byte, or read a byte of a body, for any process of this proxy. Milliseconds on the clock of
   * `performance.now()`.
   */
  readonly lastActivity: () => number;
}

export function createGlanceWatch(options: GlanceWatchOptions): GlanceWatch {
  return new Watch(options);
}

interface Question {
  readonly askedAt: number;
  isConnected: boolean;
  end(): void;
}

class Watch implements GlanceWatch {
  #upstream: GlanceWatchOptions["upstream"];
  #silenceMs: number;
  readonly #lastActivity: () => number;
  /**
   * The questions without an answer, oldest first. Each waits for `readiness.silence`: a busy Glance answers when a worker is free.
   */
  readonly #questions = new Set<Question>();
  readonly #listeners = new Set<(state: GlanceState) => void>();
  /** When Glance was first asked, without an answer, since its last activity. */
  #silentSince: number | undefined;
  #recent: { readonly state: GlanceState; readonly at: number } | undefined;
  #looking: Promise<GlanceState> | undefined;

  constructor({ upstream, silenceMs, lastActivity }: GlanceWatchOptions) {
    this.#upstream = upstream;
    this.#silenceMs = silenceMs;
    this.#lastActivity = lastActivity;
  }

  async look(): Promise<GlanceState> {
    const now = performance.now();
    if (this.#silentSince === undefined || this.#lastActivity() > this.#silentSince) this.#silentSince = now;
    let question = this.#newest();
    if (question === undefined || now - question.askedAt >= REPEAT_MS) question = this.#ask();
    return (await this.#listen(question.askedAt + ANSWER_TIMEOUT_MS - now)) ?? this.#unanswered(question);
  }

  async recent(): Promise<GlanceState> {
    const ageMs = performance.now() - (this.#recent?.at ?? -Infinity);
    if (ageMs > RECENT_INTERVAL_MS) {
      this.#looking ??= this.look().finally(() => {
        this.#looking = undefined;
      });
      void this.#looking.then((state) => {
        this.#recent = { state, at: performance.now() };
      });
    }
    return this.#recent !== undefined && ageMs <= STALE_MS
      ? this.#recent.state
      : (this.#looking ?? this.look());
  }

  reload({ upstream, silenceMs }: Parameters<GlanceWatch["reload"]>[0], isSameGlance: boolean): void {
    this.#upstream = upstream;
    this.#silenceMs = silenceMs;
    if (isSameGlance) return;
    this.close();
    this.#silentSince = undefined;
    this.#recent = undefined;
  }

  close(): void {
    for (const question of this.#questions) question.end();
  }

  #newest(): Question | undefined {
    return [...this.#questions].at(-1);
  }

  /** Any HTTP answer counts: a fault of a store or of Keystone is not a fault of the path to Glance. */
  #ask(): Question {
    const askedAt = performance.now();
    const request = this.#upstream.request("GET", "/versions", [
      { name: "accept", value: "application/json" },
    ]);
    const question: Question = {
      askedAt,
      isConnected: false,
      end: () => {
        this.#questions.delete(question);
        request.destroy();
      },
    };
    this.#questions.add(question);
    request.once("socket", (socket) => onceConnected(socket, () => (question.isConnected = true)));
    const onHead = (): void => {
      this.#questions.delete(question);
      this.#answered(askedAt);
    };
    void readSmallAnswer(request, { timeoutMs: this.#silenceMs, onHead }).then((answer) => {
      if (answer.kind === "failed") this.#failed(question, answer.cause);
      else if (answer.kind === "late") question.end();
    });
    request.end();
    return question;
  }

  #answered(askedAt: number): void {
    for (const other of this.#questions) other.end(); // one answer is enough
    this.#silentSince = undefined;
    this.#tell(performance.now() - askedAt > SLOW_MS ? "slow" : "answers");
  }

  #failed(question: Question, cause: unknown): void {
    if (!this.#questions.has(question)) return; // answered, or ended by this class
    question.end();
    // A router such as uWSGI's ends a request whose answer is late. A late reset therefore says nothing about Glance.
    const isLate = performance.now() - question.askedAt > ANSWER_TIMEOUT_MS;
    if (!isLate || toUpstreamError(cause).code !== "upstream_reset") this.#tell("unreachable");
    else if (this.#listeners.size > 0 && this.#questions.size === 0) this.#ask();
  }

  #tell(state: GlanceState): void {
    for (const listener of this.#listeners) listener(state);
  }

  /** @returns the state that the next answer shows, or undefined if there is no answer within the time. */
  #listen(timeoutMs: number): Promise<GlanceState | undefined> {
    if (timeoutMs <= 0) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const settle = (state?: GlanceState): void => {
        this.#listeners.delete(settle);
        clearTimeout(timer);
        resolve(state);
      };
      const timer = setTimeout(settle, timeoutMs);
      this.#listeners.add(settle);
    });
  }

  /** @param question has waited for an answer as long as it may. Its age would not show that: timers are up to 1 ms early. */
  #unanswered(question: Question): GlanceState {
    if (!question.isConnected) return "unreachable";
    const now = performance.now();
    const since = this.#silentSince ?? now;
    return this.#lastActivity() <= since && now - since >= this.#silenceMs ? "silent" : "busy";
  }
}
