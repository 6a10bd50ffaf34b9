/**
 * The socket on which the primary process accepts connections for its workers. Node's cluster module opens it and keeps it to itself.
 * Node reports each listening server in a diagnostics channel, and this file takes the handle from there, which is not public.
 */
import { subscribe } from "node:diagnostics_channel";
import { Server as HttpServer } from "node:http";
import { Server } from "node:net";

/** The part of Node's handle that this file uses. */
interface Handle {
  readonly fd?: number;
  close?(): void;
}

export interface SharedListener {
  /** @returns the number of the open descriptor. Undefined if there is none, or if this Node does not tell. */
  descriptor(): number | undefined;
  /** No more connections are accepted. Those that were accepted still go to the workers. */
  close(): void;
}

/** Call it before the first worker starts. */
export function watchSharedListener(): SharedListener {
  let handle: Handle | undefined;
  subscribe("tracing:net.server.listen:asyncEnd", (message) => {
    const { server } = message as { server: unknown };
    // Every other server of the primary process speaks HTTP.
    if (!(server instanceof Server) || server instanceof HttpServer) return;
    handle = (server as unknown as { _handle?: Handle | null })._handle ?? undefined;
  });
  return {
    descriptor() {
      const { fd = -1 } = handle ?? {};
      return fd >= 0 ? fd : undefined;
    },
    close: () => handle?.close?.(),
  };
}
