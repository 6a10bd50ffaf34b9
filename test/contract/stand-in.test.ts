import { startStandIn } from "../support/stand-in.js";
import { describeGlanceContract } from "./glance.contract.js";
import { STAND_IN_TRAITS } from "./traits.js";

describeGlanceContract("the stand-in", startStandIn, STAND_IN_TRAITS);
