import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { borrowGlance } from "../support/lent-glances.js";
import { describeGlanceContract } from "./glance.contract.js";
import { TRAITS } from "./traits.js";

describeGlanceContract(
  "Glance under Apache and mod_wsgi",
  () => borrowGlance("apache"),
  TRAITS.apache,
  SERVER_REQUIREMENTS.apache,
);
