import { startStandInGlance } from "../../src/demo/stand-in-glance.js";
import type { Glance } from "./real-glance.js";

/** The stand-in as the tests see a Glance. */
export async function startStandIn(): Promise<Glance> {
  const glance = await startStandInGlance();
  return {
    ...glance,
    hasData: (id, where) => {
      const image = glance.images.get(id);
      return Promise.resolve((where === "store" ? image.data : image.staged) !== undefined);
    },
  };
}
