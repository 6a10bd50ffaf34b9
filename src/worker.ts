/** What a worker process runs; its primary starts it. */
import { serveClients } from "./serve-clients.js";
import { runWorker } from "./workers/worker.js";

await runWorker(serveClients);
