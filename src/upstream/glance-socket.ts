/** A connection to Glance without TLS: guarded as others are, by methods of its class instead of functions of its own. */
import { Socket } from "node:net";
import { interceptWrites } from "./intercept-writes.js";
import { reportLate } from "./late-write-errors.js";
import { OutgoingRequest } from "./wire-guard.js";

export class GlanceSocket extends Socket {
  readonly outgoing = new OutgoingRequest();

  /** @param options also `onread`, which is missing in Node's types. */
  constructor(options: object = {}) {
    super(options);
  }
}

interceptWrites(GlanceSocket.prototype, {
  check: ({ outgoing }, chunk, encoding) => outgoing.check(chunk, encoding),
  report: reportLate,
});
