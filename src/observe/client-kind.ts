/** Identifies the client program of a request by its `User-Agent`. Pure. */
import type { ClientKind } from "../vocabulary/labels.js";

const PATTERNS: readonly (readonly [ClientKind, RegExp])[] = [
  ["glanceclient", /glanceclient/i],
  ["openstacksdk", /openstacksdk|python-openstackclient|keystoneauth/i],
  ["gophercloud", /gophercloud/i],
  ["curl", /^curl\//i],
  ["browser", /^mozilla\//i],
];

export function clientKind(userAgent: string | undefined): ClientKind {
  return PATTERNS.find(([, pattern]) => pattern.test(userAgent ?? ""))?.[0] ?? "other";
}
