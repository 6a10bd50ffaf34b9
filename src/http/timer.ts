/** A timer that can be stopped and started again. */
export interface Timer {
  /** Starts it, or starts it over. */
  start(): void;
  stop(): void;
}

/**
 * What it waits for may have come while this process was kept from running (by a busy machine, a long garbage collection): so
 * what lies ready is read first, and only then is the time over.
 *
 * @param ms 0 means never.
 */
export function createTimer(ms: number, onExpiry: () => void): Timer {
  let handle: NodeJS.Timeout | undefined;
  let lastChance: NodeJS.Immediate | undefined;
  return {
    start() {
      if (ms === 0) return;
      clearImmediate(lastChance);
      if (handle) handle.refresh();
      else {
        handle = setTimeout(() => {
          lastChance = setImmediate(onExpiry);
        }, ms);
      }
    },
    stop() {
      clearTimeout(handle);
      clearImmediate(lastChance);
      handle = undefined;
    },
  };
}
