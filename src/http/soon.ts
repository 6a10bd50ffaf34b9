/**
 * Calls `act` when everything that has arrived is read, in this turn of the event loop. What is sent to a process on this machine wakes it,
 * and it takes the CPU: so requests that arrived together are opened together, and answers that arrived together are passed on together.
 * Measured, a tenth of a small request's CPU time each.
 */
export function soon(act: () => void): void {
  setImmediate(act);
}
