import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "./raw-http.js";

/** Whether this Node drops lines of a long head without a word. Newer ones answer 431 themselves, and no cut head comes to be. */
export const NODE_CUTS_HEADS = await cutsHeads();

async function cutsHeads(): Promise<boolean> {
  let cuts = false;
  const server = createServer((_request, response) => {
    cuts = true;
    response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const peer = await connect((server.address() as AddressInfo).port);
  peer.send(`GET / HTTP/1.1\r\nHost: a\r\n${"a: b\r\n".repeat(1_500)}Connection: close\r\n\r\n`);
  await peer.response();
  peer.destroy();
  server.close();
  return cuts;
}
