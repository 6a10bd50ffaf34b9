import { startStandIn } from "../support/stand-in.js";
import { describeProxiedGlance } from "./proxied.contract.js";

describeProxiedGlance("the stand-in", startStandIn);
