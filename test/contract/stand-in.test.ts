import { startStandInGlance } from "../../src/demo/stand-in-glance.js";
import { describeGlanceContract } from "./glance.contract.js";

describeGlanceContract(
  "the stand-in",
  async () => {
    const glance = await startStandInGlance();
    return {
      ...glance,
      hasData: (id, where) => {
        const image = glance.images.get(id);
        return Promise.resolve((where === "store" ? image.data : image.staged) !== undefined);
      },
    };
  },
  // Stricter than a real one in the second point: see its own description.
  { answersExpect: true, takenForLastChunk: [] },
);
