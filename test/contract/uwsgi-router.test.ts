import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { startRealGlance } from "../support/real-glance.js";
import { describeGlanceContract } from "./glance.contract.js";
import { TRAITS } from "./traits.js";

describeGlanceContract(
  "Glance behind uWSGI's router",
  () => startRealGlance({ server: "uwsgi-router" }),
  TRAITS["uwsgi-router"],
  SERVER_REQUIREMENTS["uwsgi-router"],
);
