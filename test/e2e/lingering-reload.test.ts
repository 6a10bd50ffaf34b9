/** How many refused clients may take their time is a bound of the process, not of a configuration. */
import { expect, it, vi } from "vitest";
import { SIZE, useScene } from "./scene.js";

vi.mock(import("../../src/client/linger.js"), async (original) => {
  const { createLinger, LINGER } = await original();
  return { LINGER, createLinger: () => createLinger({ ...LINGER, capacity: 1, crowdedMs: 100 }) };
});

const scene = useScene();

it("a client that was refused before a reload counts in the bound of those that are refused after it", async () => {
  const refuse = async () => {
    const peer = await scene.startUpload({ [SIZE]: "abc" });
    expect((await peer.response()).status).toBe(400);
    return peer;
  };
  const before = await refuse();
  expect((await scene.proxy.reload({ limits: { maxImageSize: "1GiB" } })).changed).toHaveLength(1);
  expect(await (await refuse()).closed()).toBe("fin");
  expect(before.ending).toBeUndefined();
});
