/** Serves clients in one process: the server, and the way of a request behind it. */
import { createApp } from "./app.js";
import { type ClientServer, createClientServer } from "./client/server.js";
import { ConfigError } from "./config/config-error.js";
import { expiryOf } from "./http/credentials.js";
import type { ServeOptions } from "./upload/serve-options.js";

export type ServeClients = (options: ServeOptions) => Omit<ClientServer, "credentials">;

/** `reload` never throws: it logs files that cannot be used, and keeps the old ones. @throws ConfigError if a file cannot be used. */
export const serveClients: ServeClients = (options) => {
  const { config, upstream, observers } = options;
  const { metrics, log, uploads } = observers;
  const clients = createClientServer({
    config,
    openApp: (claimBody) => createApp({ ...options, claimBody }),
    whenSettled: () => uploads.whenEmpty(),
    onUnreadable: (request) => log.info(request, "request refused"),
  });
  metrics.watchCertificates({
    listen: () => expiryOf(clients.credentials()),
    upstream: () => expiryOf(upstream.credentials()),
  });

  return {
    async listen() {
      const listening = await clients.listen();
      metrics.relayChosen(listening.relay);
      return listening;
    },

    reload() {
      for (const [side, part] of Object.entries({ listen: clients, upstream })) {
        try {
          part.reload();
          log.info({ side }, "TLS files reloaded");
        } catch (error) {
          const faults = error instanceof ConfigError ? error.faults : [(error as Error).message];
          log.error({ side, faults }, "cannot use the new TLS files, keeping the old ones");
        }
      }
    },

    drain: (timeoutMs) => clients.drain(timeoutMs),
    close: () => clients.close(),
  };
};
