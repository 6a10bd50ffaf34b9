/** Identifies the client program of a request by its `User-Agent`. Pure. */

const PATTERNS = [
  ["glanceclient", /glanceclient/i],
  ["openstacksdk", /openstacksdk|python-openstackclient|keystoneauth/i],
  ["gophercloud", /gophercloud/i],
  ["curl", /^curl\//i],
  ["browser", /^mozilla\//i],
] as const;

export type ClientKind = (typeof PATTERNS)[number][0] | "other";

export const CLIENT_KINDS: readonly ClientKind[] = [...PATTERNS.map(([kind]) => kind), "other"];

export function clientKind(userAgent: string | undefined): ClientKind {
  return PATTERNS.find(([, pattern]) => pattern.test(userAgent ?? ""))?.[0] ?? "other";
}
