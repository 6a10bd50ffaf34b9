/** What tells at the start whether bodies can be taken over. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, Socket } from "node:net";
import { afterEach, expect, it, vi } from "vitest";
import { checkRawBodies } from "../../src/raw-io/self-check.js";

afterEach(() => {
  vi.restoreAllMocks();
});

/** Where sockets have their native functions from. */
async function nativeStream(): Promise<{ useUserBuffer: () => void }> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(client, "connect");
  let owner = (client as unknown as { _handle: object })._handle;
  while (!Object.hasOwn(owner, "useUserBuffer")) owner = Object.getPrototypeOf(owner) as object;
  client.destroy();
  server.close();
  return owner as { useUserBuffer: () => void };
}

it.each([
  ["", false],
  [" over TLS", true],
])("the self-test passes on this Node%s", async (_, encrypted) => {
  expect(await checkRawBodies(encrypted)).toBeUndefined();
});

it("the self-test reports a Node without the needed internals, and the process continues", async () => {
  vi.spyOn(await nativeStream(), "useUserBuffer").mockImplementation(() => {
    throw new TypeError("not a function");
  });
  expect(await checkRawBodies()).toBe("not a function");
});

it.each([false, true])(
  "the self-test reports a Node that reads in spite of a pause (TLS: %s)",
  async (encrypted) => {
    vi.spyOn(Socket.prototype, "pause").mockReturnThis();
    expect(await checkRawBodies(encrypted)).toMatch(/./);
  },
);
