import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { startRealGlance } from "../support/real-glance.js";
import { describeGlanceContract } from "./glance.contract.js";
import { TRAITS } from "./traits.js";

describeGlanceContract(
  "Glance under Apache and mod_wsgi",
  () => startRealGlance({ server: "apache" }),
  TRAITS.apache,
  SERVER_REQUIREMENTS.apache,
);
