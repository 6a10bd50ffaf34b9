/** What is left behind in this process: sockets, timers, and errors that nobody has caught. */
import { subscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { eventually } from "./eventually.js";

export interface ProcessWatch {
  /** The open sockets with this port at that end; the proxy's own, not those of its peers. */
  openSockets(side: "localPort" | "remotePort", port: number): number;
  /** Throws unless the process holds no more sockets and timers than when the watch began, and nothing went uncaught. */
  expectNothingLeft(deadlineMs?: number): Promise<void>;
}

/** Takes the present state for the one to come back to. */
export function watchProcess(): ProcessWatch {
  const sockets = new Set<Socket>();
  const uncaught: unknown[] = [];
  const keep = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  };
  subscribe("net.client.socket", keep);
  subscribe("net.server.socket", keep);
  process.on("unhandledRejection", (reason) => uncaught.push(reason));
  process.on("uncaughtExceptionMonitor", (error) => uncaught.push(error));
  process.on("warning", (warning) => {
    // Listeners that are never taken off again.
    if (warning.name === "MaxListenersExceededWarning") uncaught.push(warning);
  });
  const before = countResources();

  return {
    openSockets: (side, port) =>
      [...sockets].filter((socket) => !socket.destroyed && socket[side] === port).length,
    async expectNothingLeft(deadlineMs) {
      if (uncaught.length > 0) throw new AggregateError(uncaught, "nobody has caught these");
      const left = (): string[] =>
        Object.entries(countResources())
          .filter(([kind, count]) => count > (before[kind] ?? 0))
          .map(([kind, count]) => `${kind}: ${count}, before ${before[kind] ?? 0}`);
      const none = eventually(() => left().length === 0, "sockets and timers to be given back", deadlineMs);
      await none.catch((cause: unknown) => {
        throw new Error(`still there: ${left().join("; ")}`, { cause });
      });
    },
  };
}

const WATCHED = new Set(["TCPSocketWrap", "Timeout", "TCPConnectWrap", "ShutdownWrap"]);

function countResources(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) {
    if (WATCHED.has(kind)) counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}
