/** The promise of this turn, once somebody has asked for it. */
let endOfTurn: Promise<void> | undefined;

/**
 * Resolves in this turn of the event loop, when everything that has arrived is read. So requests that arrived together are opened
 * together, and answers that arrived together are passed on together. Reasons: the code of one step is in the caches of the processor for all
 * of them, and whatever is sent to a process on this machine wakes that process, which then takes CPU time from this one. Measured: each
 * place that waits for it saves a tenth of the CPU time of a small request. Callers share one promise, so that nothing else runs in between.
 */
export function soon(): Promise<void> {
  endOfTurn ??= new Promise((resolve) => {
    setImmediate(() => {
      endOfTurn = undefined;
      resolve();
    });
  });
  return endOfTurn;
}
