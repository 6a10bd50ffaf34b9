/** The request id that client, proxy and Glance share. Pure. */
import { randomUUID } from "node:crypto";
import type { RequestHead } from "./request-head.js";

const REQUEST_ID = /^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @returns the client's request id if it is valid, otherwise a new one. */
export function requestIdOf(head: RequestHead): string {
  const [own] = head.values("x-openstack-request-id");
  return own !== undefined && REQUEST_ID.test(own) ? own : `req-${randomUUID()}`;
}
