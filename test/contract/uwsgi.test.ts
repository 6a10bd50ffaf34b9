import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { startRealGlance } from "../support/real-glance.js";
import { describeGlanceContract } from "./glance.contract.js";
import { TRAITS } from "./traits.js";

describeGlanceContract(
  "Glance under uWSGI",
  () => startRealGlance({ server: "uwsgi" }),
  TRAITS.uwsgi,
  SERVER_REQUIREMENTS.uwsgi,
);
