/** A timer that can be stopped and started again. */
export interface Timer {
  /** Starts it, or starts it over. */
  start(): void;
  stop(): void;
}

/** @param ms 0 means never. */
export function createTimer(ms: number, onExpiry: () => void): Timer {
  let handle: NodeJS.Timeout | undefined;
  return {
    start() {
      if (ms === 0) return;
      if (handle) handle.refresh();
      else handle = setTimeout(onExpiry, ms);
    },
    stop() {
      clearTimeout(handle);
      handle = undefined;
    },
  };
}
