import { startStandIn } from "../support/stand-in.js";
import { describeGlanceContract } from "./glance.contract.js";

describeGlanceContract(
  "the stand-in",
  startStandIn,
  // Stricter than a real one in the second point: see its own description.
  { answersExpect: true, takenForLastChunk: [] },
);
