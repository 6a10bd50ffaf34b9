/** Tracks whether the client or Glance must act next, while a body or an answer is transferred. Only the timer of that side runs. */
import { createTimer, type Timer } from "./timer.js";
import type { Waits } from "./waits.js";

/** Time limits of both sides, milliseconds; 0: no limit. */
export interface Patience {
  /** Glance: `upstream.responseTimeout`. */
  readonly silenceMs: number;
  /** The client: `limits.idleTimeout`. */
  readonly idleMs: number;
}

export interface TurnsListener {
  readonly onClientIdle: () => void;
  readonly onGlanceSilent: () => void;
}

export class Turns {
  readonly #client: Timer;
  readonly #glance: Timer;
  readonly #waits: Waits | undefined;

  /** @param waits adds up how long each side takes. */
  constructor(
    { idleMs, silenceMs }: Patience,
    { onClientIdle, onGlanceSilent }: TurnsListener,
    waits?: Waits,
  ) {
    this.#client = createTimer(idleMs, onClientIdle);
    this.#glance = createTimer(silenceMs, onGlanceSilent);
    this.#waits = waits;
  }

  /** The client must send or read. Restarts its timer. */
  awaitClient(): void {
    this.#glance.pause();
    this.#client.start();
    this.#waits?.switchTo("client");
  }

  /** Glance must read on or answer. Restarts its timer. */
  awaitGlance(): void {
    this.#client.pause();
    this.#glance.start();
    this.#waits?.switchTo("glance");
  }

  /** Stops both timers. */
  stop(): void {
    this.#client.stop();
    this.#glance.stop();
    this.#waits?.switchTo(undefined);
  }
}
