import { randomInt } from "node:crypto";
import { once } from "node:events";
import net from "node:net";

/** Below the ports that Linux gives to connections and to whoever listens on port 0: those may be taken before the program listens. */
const FIRST = 10_000;
const LAST = 32_000;

/** For programs that cannot be told to take a free one and say which. Random, as other processes of the tests choose one meanwhile. */
export async function freePort(): Promise<number> {
  const server = net.createServer().listen(randomInt(FIRST, LAST), "127.0.0.1");
  try {
    await once(server, "listening");
  } catch {
    return freePort(); // in use
  }
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
