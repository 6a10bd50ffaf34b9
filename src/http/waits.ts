/** How long a request waits, and for what. The clock is read only when that changes. */

/**
 * What a request can wait for. At any time it waits for one of these or for nothing, so the times never overlap.
 *
 * - `client`: the client must send.
 * - `glance`: Glance must accept the connection, read, report the image, or answer.
 * - `rollback`: Glance must set the image back after an abort.
 * - `spoolWrite`, `spoolRead`: the disk of the spool.
 */
export type Wait = "client" | "glance" | "rollback" | "spoolWrite" | "spoolRead";

export class Waits {
  readonly #milliseconds: Record<Wait, number> = {
    client: 0,
    glance: 0,
    rollback: 0,
    spoolWrite: 0,
    spoolRead: 0,
  };
  #current: Wait | undefined;
  #since = 0;

  get current(): Wait | undefined {
    return this.#current;
  }

  /** Ends the wait before. @param next undefined: the request waits for nothing. */
  switchTo(next: Wait | undefined): void {
    const before = this.#current;
    if (next === before) return;
    const now = performance.now();
    if (before !== undefined) this.#milliseconds[before] += now - this.#since;
    this.#current = next;
    this.#since = now;
  }

  /** Up to now. */
  seconds(wait: Wait): number {
    const running = wait === this.#current ? performance.now() - this.#since : 0;
    return (this.#milliseconds[wait] + running) / 1_000;
  }
}
