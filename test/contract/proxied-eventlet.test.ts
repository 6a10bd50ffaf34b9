import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { borrowGlance } from "../support/lent-glances.js";
import { describeProxiedGlance } from "./proxied.contract.js";
import { TRAITS } from "./traits.js";

describeProxiedGlance(
  "Glance under eventlet",
  () => borrowGlance("eventlet"),
  TRAITS.eventlet,
  SERVER_REQUIREMENTS.eventlet,
);
