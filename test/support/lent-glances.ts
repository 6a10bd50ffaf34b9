/**
 * Before all tests: real Glances that the files of a run lend one another, as a start takes seconds of CPU time. A connection to the
 * socket below asks for one, and has it to itself until it closes.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { GlanceServer } from "./glance-servers.js";
import { answers } from "./raw-http.js";
import { type RealGlance, startRealGlance, viewGlance } from "./real-glance.js";
import { SHARED_DIRECTORY } from "./shared-directory.js";

const SOCKET = "glances.sock";

type Lent = Pick<RealGlance, "pid" | "port" | "directory">;
type Answer = Lent | { readonly error: string };

/**
 * A Glance with the configuration of `startRealGlance({ server })`. Images of other files may be in it, and requests of theirs in
 * what it has executed. `stop` gives it back.
 */
export async function borrowGlance(server: GlanceServer): Promise<RealGlance> {
  const shared = process.env[SHARED_DIRECTORY];
  if (shared === undefined)
    throw new Error("Glances are lent only in a project that test/support/lent-glances.ts is set up for");
  const socket = connect(join(shared, SOCKET));
  socket.write(`${server}\n`);
  const [line] = (await once(createInterface({ input: socket }), "line")) as [string];
  const answer = JSON.parse(line) as Answer;
  if ("error" in answer) throw new Error(answer.error);
  return {
    ...viewGlance(answer),
    async stop() {
      socket.end();
      await once(socket, "close");
    },
  };
}

/** Called once per project. @returns what ends the Glances at the end of the run. */
export default async function lendGlances(): Promise<(() => Promise<void>) | undefined> {
  const path = join(process.env[SHARED_DIRECTORY] ?? "", SOCKET);
  const lender = new Lender();
  const server = createServer((socket) => void lender.serve(socket));
  if (!(await listens(server, path))) return undefined; // another project's
  return async () => {
    server.close();
    await lender.stop();
  };
}

async function listens(server: Server, path: string): Promise<boolean> {
  server.listen(path);
  return once(server, "listening").then(
    () => true,
    () => false,
  );
}

class Lender {
  readonly #free = new Map<GlanceServer, RealGlance[]>();
  readonly #all: RealGlance[] = [];

  async serve(socket: Socket): Promise<void> {
    const closed = new Promise((resolve) => socket.on("error", () => undefined).once("close", resolve));
    const [server] = (await once(createInterface({ input: socket }), "line")) as [GlanceServer];
    try {
      const glance = await this.#take(server);
      const { pid, port, directory } = glance;
      socket.write(`${JSON.stringify({ pid, port, directory } satisfies Answer)}\n`);
      await closed;
      this.#free.set(server, [...(this.#free.get(server) ?? []), glance]);
    } catch (error) {
      socket.end(`${JSON.stringify({ error: String(error) } satisfies Answer)}\n`);
    }
  }

  /** One that answers, or else a new one. */
  async #take(server: GlanceServer): Promise<RealGlance> {
    const glance = this.#free.get(server)?.pop();
    if (glance !== undefined) return (await answers(glance.port, "/versions")) ? glance : this.#take(server);
    const started = await startRealGlance({ server });
    this.#all.push(started);
    return started;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#all.map((glance) => glance.stop()));
  }
}
