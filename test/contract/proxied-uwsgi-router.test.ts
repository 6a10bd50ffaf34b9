import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { startRealGlance } from "../support/real-glance.js";
import { describeProxiedGlance } from "./proxied.contract.js";
import { TRAITS } from "./traits.js";

describeProxiedGlance(
  "Glance behind uWSGI's router",
  () => startRealGlance({ server: "uwsgi-router" }),
  TRAITS["uwsgi-router"],
  SERVER_REQUIREMENTS["uwsgi-router"],
  ["forward"],
);
