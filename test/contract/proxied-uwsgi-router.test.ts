import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { borrowGlance } from "../support/lent-glances.js";
import { describeProxiedGlance } from "./proxied.contract.js";
import { TRAITS } from "./traits.js";

describeProxiedGlance(
  "Glance behind uWSGI's router",
  () => borrowGlance("uwsgi-router"),
  TRAITS["uwsgi-router"],
  SERVER_REQUIREMENTS["uwsgi-router"],
  ["forward"],
);
