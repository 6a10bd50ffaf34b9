/** A restartable timer. */
export interface Timer {
  /** Starts or restarts the timer. */
  start(): void;
  /** The timer does not expire before the next `start`. For a timer that is started often: Node's timer is kept. */
  pause(): void;
  stop(): void;
}

/**
 * If this process could not run for a while (busy machine, long garbage collection), the awaited data may already be there. So pending
 * data is read before `onExpiry` is called.
 *
 * @param ms 0: never expires.
 */
export function createTimer(ms: number, onExpiry: () => void): Timer {
  return ms === 0 ? NEVER : new PatientTimer(ms, onExpiry);
}

const NEVER: Timer = { start: () => undefined, pause: () => undefined, stop: () => undefined };

/** A class, because each upload has several: methods cost less than closures. */
class PatientTimer implements Timer {
  readonly #ms: number;
  readonly #onExpiry: () => void;
  #handle: NodeJS.Timeout | undefined;
  #isPaused = false;
  #lastChance: NodeJS.Immediate | undefined;

  constructor(ms: number, onExpiry: () => void) {
    this.#ms = ms;
    this.#onExpiry = onExpiry;
  }

  start(): void {
    if (this.#lastChance) this.#cancelLastChance();
    this.#isPaused = false;
    if (this.#handle) this.#handle.refresh();
    else {
      this.#handle = setTimeout(() => {
        if (!this.#isPaused) this.#lastChance = setImmediate(this.#onExpiry);
      }, this.#ms);
    }
  }

  pause(): void {
    if (this.#lastChance) this.#cancelLastChance();
    this.#isPaused = true;
  }

  stop(): void {
    this.pause();
    if (!this.#handle) return;
    clearTimeout(this.#handle);
    this.#handle = undefined;
  }

  #cancelLastChance(): void {
    clearImmediate(this.#lastChance);
    this.#lastChance = undefined;
  }
}
