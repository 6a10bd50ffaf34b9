import { expect, test } from "vitest";
import { checkRawBodies } from "../../src/proxy/raw-check.js";

test("bodies can be taken over on this Node", async () => {
  expect(await checkRawBodies()).toBeUndefined();
});
