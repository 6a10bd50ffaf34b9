import { expect, it } from "vitest";
import { proxyStatus } from "../../../src/http/proxy-status.js";

it("names the kind of error and its reason", () => {
  expect(proxyStatus("Too late.", "http_response_timeout")).toBe(
    'glance-size-proxy; error=http_response_timeout; details="Too late."',
  );
});

it("escapes quotes and backslashes, and replaces what a structured field may not contain", () => {
  expect(proxyStatus('a "b" \\ é\r\nX: 1')).toBe('glance-size-proxy; details="a \\"b\\" \\\\ ???X: 1"');
});

it("is cut before it is escaped, so that no escape is left open", () => {
  expect(proxyStatus('"'.repeat(300))).toBe(`glance-size-proxy; details="${'\\"'.repeat(256)}"`);
});
