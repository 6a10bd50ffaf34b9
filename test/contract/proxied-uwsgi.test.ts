import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { startRealGlance } from "../support/real-glance.js";
import { describeProxiedGlance } from "./proxied.contract.js";
import { TRAITS } from "./traits.js";

describeProxiedGlance(
  "Glance under uWSGI",
  () => startRealGlance({ server: "uwsgi" }),
  TRAITS.uwsgi,
  SERVER_REQUIREMENTS.uwsgi,
);
