/**
 * Resolves in this turn of the event loop, when everything that has arrived is read. Whatever is sent to a process on this machine wakes that
 * process, which then takes CPU time from this one. So requests that arrived together are opened together, and answers that arrived
 * together are passed on together. Measured: each saves a tenth of the CPU time of a small request.
 */
export function soon(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
