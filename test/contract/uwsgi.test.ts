import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { borrowGlance } from "../support/lent-glances.js";
import { describeGlanceContract } from "./glance.contract.js";
import { TRAITS } from "./traits.js";

describeGlanceContract(
  "Glance under uWSGI",
  () => borrowGlance("uwsgi"),
  TRAITS.uwsgi,
  SERVER_REQUIREMENTS.uwsgi,
);
