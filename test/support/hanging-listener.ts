/** On loopback nothing swallows packets; a listener that hangs, its queue full, comes closest: connections do not open. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { eventually } from "../faults/eventually.js";

export interface HangingListener {
  readonly url: string;
  stop(): void;
}

export async function startHangingListener(): Promise<HangingListener> {
  const child = spawn(
    process.execPath,
    [
      "-e",
      `const server = require("net").createServer();
       server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
         require("fs").writeSync(1, String(server.address().port));
         Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
       });`,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const [text] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(text.toString());
  let open = 0;
  const fillers = Array.from({ length: 8 }, () =>
    net
      .connect(port, "127.0.0.1")
      .on("error", () => undefined)
      .on("connect", () => (open += 1)),
  );
  await eventually(() => open > 0, "the queue to fill");
  return {
    url: `http://127.0.0.1:${port}`,
    stop() {
      for (const filler of fillers) filler.destroy();
      child.kill("SIGKILL");
    },
  };
}
