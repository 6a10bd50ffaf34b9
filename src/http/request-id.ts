/** The ids by which client, proxy and Glance name a request. Pure. */
import { randomUUID } from "node:crypto";
import type { RequestHead } from "./request-head.js";

export const REQUEST_ID_HEADER = "x-openstack-request-id";

const REQUEST_ID = /^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** W3C Trace Context: version, trace id, parent id, flags. Only versions after 00 may have more. Zeros alone are no id. */
const TRACEPARENT =
  /^(?!ff)(?:00(?=.{53}$)|(?!00)[0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/;

/** @param own the client's. @returns the client's request id if it is valid, otherwise a new one. */
export function requestIdOf(own: string | undefined): string {
  return own !== undefined && REQUEST_ID.test(own) ? own : `req-${randomUUID()}`;
}

/** @returns the request id that the client sent, valid or not. */
export function clientRequestIdOf(head: RequestHead): string | undefined {
  return head.values(REQUEST_ID_HEADER)[0];
}

/** @returns the client's `traceparent`; undefined if it is absent or not valid. */
export function traceparentOf(head: RequestHead): string | undefined {
  const [value, ...more] = head.values("traceparent");
  return value !== undefined && more.length === 0 && TRACEPARENT.test(value) ? value : undefined;
}
