import { startRealGlance } from "../support/real-glance.js";
import { describeGlanceContract } from "./glance.contract.js";

describeGlanceContract(
  "Glance under uWSGI",
  () => startRealGlance({ server: "uwsgi" }),
  { answersExpect: false, takenForLastChunk: ["0\r\n", "0\r\n\r"] },
  ["glance-api", "uwsgi"],
);
