/** Serves clients in one process: the server, and the way of a request behind it. */
import { createApp, type ReloadableApp } from "./app.js";
import { createClientServer } from "./client/server.js";
import { collectFaults } from "./config/config-error.js";
import { expiryOf } from "./http/credentials.js";
import type { ServeClients } from "./upload/serve-options.js";

/** @throws ConfigError if a file cannot be used. */
export const serveClients: ServeClients = (options) => {
  const { config, observers } = options;
  const { metrics, log, uploads } = observers;
  let { upstream } = options;
  let app: ReloadableApp | undefined;
  const server = createClientServer({
    config,
    openApp: (claimBody) => (app = createApp({ ...options, claimBody })),
    whenSettled: () => uploads.whenEmpty(),
    onUnreadable: (request) => log.info(request, "request refused"),
  });
  metrics.watchCertificates({
    listen: () => expiryOf(server.credentials()),
    upstream: () => expiryOf(upstream.credentials()),
  });

  return {
    ...server,

    async listen(descriptor) {
      const listening = await server.listen(descriptor);
      metrics.relayChosen(listening.relay);
      return listening;
    },

    prepareReload(next) {
      const takeOver = collectFaults([
        () => server.prepareReload(next.config),
        () => app?.prepareReload(next),
      ]);
      return () => {
        for (const take of takeOver) take?.();
        upstream = next.upstream;
      };
    },
  };
};
