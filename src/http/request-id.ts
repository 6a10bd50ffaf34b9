/** The id by which client, proxy and Glance name a request. Pure. */
import { randomUUID } from "node:crypto";
import type { RequestHead } from "./request-head.js";

const REQUEST_ID = /^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The client's own request id if it sent a valid one, else a new one. */
export function requestIdOf(head: RequestHead): string {
  const [own] = head.values("x-openstack-request-id");
  return own !== undefined && REQUEST_ID.test(own) ? own : `req-${randomUUID()}`;
}
