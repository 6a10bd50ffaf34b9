import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { borrowGlance } from "../support/lent-glances.js";
import { describeGlanceContract } from "./glance.contract.js";
import { TRAITS } from "./traits.js";

describeGlanceContract(
  "Glance behind uWSGI's router",
  () => borrowGlance("uwsgi-router"),
  TRAITS["uwsgi-router"],
  SERVER_REQUIREMENTS["uwsgi-router"],
);
