/** A restartable timer. */
export interface Timer {
  /** Starts or restarts the timer. */
  start(): void;
  stop(): void;
}

/**
 * If this process could not run for a while (busy machine, long garbage collection), the awaited data may already be there. So pending
 * data is read before `onExpiry` is called.
 *
 * @param ms 0: never expires.
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
