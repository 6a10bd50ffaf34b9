/** The `Proxy-Status` header of the proxy's own answers (RFC 9209): which side failed, and why. Pure. */
import type { ProxyErrorType } from "../vocabulary/errors.js";

/** Maximum length of `details`, characters. Parts of the text come from the client. */
const MAX_DETAILS_LENGTH = 256;

/** @param details text that the client may read. @param error absent if the answer is a success. */
export function proxyStatus(details: string, error?: ProxyErrorType): string {
  return `glance-size-proxy${error === undefined ? "" : `; error=${error}`}; details=${quoted(details)}`;
}

/** A string of RFC 9651, section 3.3.3: printable ASCII only. */
function quoted(text: string): string {
  const printable = text
    .trim()
    .slice(0, MAX_DETAILS_LENGTH)
    .replace(/[^\x20-\x7e]/g, "?");
  return `"${printable.replace(/["\\]/g, "\\$&")}"`;
}
