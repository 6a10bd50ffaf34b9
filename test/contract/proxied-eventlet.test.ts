import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { startRealGlance } from "../support/real-glance.js";
import { describeProxiedGlance } from "./proxied.contract.js";
import { TRAITS } from "./traits.js";

describeProxiedGlance(
  "Glance under eventlet",
  () => startRealGlance({ server: "eventlet" }),
  TRAITS.eventlet,
  SERVER_REQUIREMENTS.eventlet,
);
