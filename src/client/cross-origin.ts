/** CORS (https://fetch.spec.whatwg.org/#http-cors-protocol), as Glance's middleware (oslo.middleware) does it. Pure. */
import type { RequestHead } from "../http/request-head.js";

/** Whether scripts of the request's origin may read the proxy's answers. @param allowed `cors.allowedOrigins` */
export function allowedOrigin(head: RequestHead, allowed: readonly string[]): string | undefined {
  const origins = head.values("origin");
  const [origin] = origins;
  if (origin === undefined || origins.length > 1) return undefined;
  if (allowed.includes(origin)) return origin;
  return allowed.includes("*") ? "*" : undefined;
}

/**
 * Headers of an answer that the proxy makes itself. Like Glance, it answers an origin that is listed by its name, with credentials, and any
 * other with `*`, which browsers do not accept together with credentials.
 */
export function crossOriginHeaders(head: RequestHead, allowed: readonly string[]): Record<string, string> {
  if (allowed.length === 0) return {}; // the usual case
  const origin = allowedOrigin(head, allowed);
  const vary = { vary: "Origin" };
  if (origin === undefined) return vary;
  return {
    ...vary,
    "access-control-allow-origin": origin,
    ...(origin === "*" ? {} : { "access-control-allow-credentials": "true" }),
    "access-control-expose-headers": "Proxy-Status, Retry-After, X-Openstack-Request-Id",
  };
}
