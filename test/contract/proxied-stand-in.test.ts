import { startStandIn } from "../support/stand-in.js";
import { describeProxiedGlance } from "./proxied.contract.js";
import { STAND_IN_TRAITS } from "./traits.js";

describeProxiedGlance("the stand-in", startStandIn, STAND_IN_TRAITS);
