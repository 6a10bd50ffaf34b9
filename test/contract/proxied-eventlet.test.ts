import { startRealGlance } from "../support/real-glance.js";
import { describeProxiedGlance } from "./proxied.contract.js";

describeProxiedGlance("Glance under eventlet", () => startRealGlance({ server: "eventlet" }), ["glance-api"]);
