import { startRealGlance } from "../support/real-glance.js";
import { describeProxiedGlance } from "./proxied.contract.js";

describeProxiedGlance("Glance under uWSGI", () => startRealGlance({ server: "uwsgi" }), [
  "glance-api",
  "uwsgi",
]);
