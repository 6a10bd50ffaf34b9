import { expect, it } from "vitest";
import { parseConfig } from "../../../src/config/load.js";

it.each([
  ["127.0.0.1:9292", "http://127.0.0.2:9292"],
  ["[::1]:9292", "http://127.0.0.1:9292"],
  ["127.0.0.1:9292", "http://127.0.0.1:9293"],
  ["127.0.0.1:9292", "http://glance.example:9292"],
])("accepts a Glance that is not the proxy itself: %s, %s", (address, url) => {
  expect(() => parseConfig({ listen: { address }, upstream: { url } })).not.toThrow();
});

it.each([
  ["0.0.0.0:9292", "http://127.0.0.2:9292"],
  ["127.0.0.1:9292", "http://localhost:9292"],
  ["127.0.0.1:9292", "http://127.0.0.1:9292"],
])("refuses the proxy as its own upstream: %s, %s", (address, url) => {
  expect(() => parseConfig({ listen: { address }, upstream: { url } })).toThrow("is the proxy itself");
});
