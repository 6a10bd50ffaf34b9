import { once } from "node:events";
import { request } from "node:http";
import { Duplex } from "node:stream";
import { expect, it, vi } from "vitest";
import { Outflow } from "../../../src/upload/outflow.js";

/** A connection that takes its first write, the head, and then fails. */
function failingConnection(): Duplex {
  let writes = 0;
  return new Duplex({
    read: () => undefined,
    write(_chunk, _encoding, callback) {
      writes += 1;
      callback(writes === 1 ? null : Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
    },
  });
}

it("the outflow does not report a body as flushed if its last write failed", async () => {
  const connection = failingConnection();
  const put = request({
    method: "PUT",
    headers: { "content-length": 5 },
    createConnection: () => connection,
  });
  put.flushHeaders();
  await new Promise(setImmediate);
  const outflow = new Outflow({
    request: put,
    framing: "content-length",
    onForwarded: () => undefined,
    onSent: () => undefined,
  });
  const onSent = vi.fn();
  const failed = once(put, "error");
  outflow.write(Buffer.from("hello"), false);
  outflow.end(onSent);
  await failed;
  await new Promise(setImmediate);
  expect(onSent).not.toHaveBeenCalled();
});
