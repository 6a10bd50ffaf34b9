import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { expect, it, vi } from "vitest";
import { createTimer } from "../../src/http/timer.js";

it("a timer does not expire if its event arrived while the process was suspended", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [accepted] = (await once(server, "connection")) as [Socket];
  try {
    const onExpiry = vi.fn();
    const timer = createTimer(20, onExpiry);
    accepted.on("data", () => timer.stop());
    await new Promise((resolve) => client.write("x", resolve));
    timer.start();
    for (const until = performance.now() + 50; performance.now() < until;);
    await once(accepted, "data");
    await turn(); // the last chance of the timer was in this one
    expect(onExpiry).not.toHaveBeenCalled();
  } finally {
    client.destroy();
    accepted.destroy();
    server.close();
  }
});
