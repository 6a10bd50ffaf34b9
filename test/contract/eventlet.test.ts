import { startRealGlance } from "../support/real-glance.js";
import { describeGlanceContract } from "./glance.contract.js";

describeGlanceContract(
  "Glance under eventlet",
  () => startRealGlance({ server: "eventlet" }),
  { answersExpect: true, takenForLastChunk: ["0", "0\r\n", "0\r\n\r"] },
  ["glance-api"],
);
