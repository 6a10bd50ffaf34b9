/** What a worker process runs; its primary starts it. */
import { serveClients } from "./serve-clients.js";
import { deferFullCollections } from "./v8-flags.js";
import { runWorker } from "./workers/worker.js";

deferFullCollections();
await runWorker(serveClients);
