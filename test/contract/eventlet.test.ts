import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { startRealGlance } from "../support/real-glance.js";
import { describeGlanceContract } from "./glance.contract.js";
import { TRAITS } from "./traits.js";

describeGlanceContract(
  "Glance under eventlet",
  () => startRealGlance({ server: "eventlet" }),
  TRAITS.eventlet,
  SERVER_REQUIREMENTS.eventlet,
);
