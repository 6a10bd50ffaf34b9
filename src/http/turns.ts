/** Whose turn it is while a body or an answer flows. Each side has a time limit, and only one of them runs. */
import { createTimer, type Timer } from "./timer.js";

/** How long a side may keep the other waiting, in milliseconds; 0: for ever. */
export interface Patience {
  /** Glance: `upstream.responseTimeout`. */
  readonly silenceMs: number;
  /** The client: `limits.idleTimeout`. */
  readonly idleMs: number;
}

export interface TurnsOptions extends Patience {
  readonly onClientIdle: () => void;
  readonly onGlanceSilent: () => void;
}

export class Turns {
  readonly #client: Timer;
  readonly #glance: Timer;

  constructor({ idleMs, silenceMs, onClientIdle, onGlanceSilent }: TurnsOptions) {
    this.#client = createTimer(idleMs, onClientIdle);
    this.#glance = createTimer(silenceMs, onGlanceSilent);
  }

  /** The client must send or read. Its time starts over. */
  awaitClient(): void {
    this.#glance.stop();
    this.#client.start();
  }

  /** Glance must read on or answer. Its time starts over. */
  awaitGlance(): void {
    this.#client.stop();
    this.#glance.start();
  }

  /** Neither side is waited for. */
  stop(): void {
    this.#client.stop();
    this.#glance.stop();
  }
}
