import { describe, expect, it } from "vitest";
import { createRollback } from "../../../src/upload/rollback.js";
import type { ImageLookUp } from "../../../src/upstream/look-up.js";

// Real time, in small pieces: fake timers do not reach node:timers/promises.
const BOUNDS = { timeoutMs: 5_000, intervalMs: 5 };
const found = (status: string, size: number | null = null): ImageLookUp => ({ kind: "found", status, size });
const FILE = { imageId: "one", operation: "file" } as const;
const STAGE = { imageId: "one", operation: "stage" } as const;

/** Answers of Glance in order, the last one for ever. */
function scripted(...answers: ImageLookUp[]) {
  const timeouts: number[] = [];
  return {
    timeouts,
    lookUp: (timeoutMs: number): Promise<ImageLookUp> => {
      const answer = answers[Math.min(timeouts.length, answers.length - 1)] ?? { kind: "failed" };
      timeouts.push(timeoutMs);
      return Promise.resolve(answer);
    },
  };
}

async function wait(
  lookUp: (timeoutMs: number) => Promise<ImageLookUp>,
  bounds = BOUNDS,
  begun: "yes" | "unseen" = "yes",
) {
  const startedAt = performance.now();
  const { result, remark } = (await createRollback(FILE, lookUp, bounds).untilBack(begun)) ?? {};
  return { result, remark, tookMs: performance.now() - startedAt };
}

describe("waiting for an upload to have begun, before it is aborted", () => {
  const never = new Promise<void>(() => undefined);

  it.each([
    [FILE, "saving"],
    [STAGE, "uploading"],
  ])("ends as soon as the image shows it: %j %s", async (target, status) => {
    const glance = scripted(found("queued"), found("queued"), found(status));
    expect(await createRollback(target, glance.lookUp, BOUNDS).untilBegun(never)).toBe(true);
    expect(glance.timeouts).toHaveLength(3);
  });

  it.each([
    ["failed", { kind: "failed" }],
    ["gone", { kind: "gone" }],
    ["denied", { kind: "denied" }],
    ["active", found("active")],
    ["staged by another upload", found("uploading", 5)],
    ["being staged by another upload", found("uploading")],
  ] as [string, ImageLookUp][])(
    "continues if the look-up is %s: Glance will refuse the upload",
    async (_, look) => {
      const glance = scripted(look, look, found("saving"));
      expect(await createRollback(FILE, glance.lookUp, BOUNDS).untilBegun(never)).toBe(true);
      expect(glance.timeouts).toHaveLength(3);
    },
  );

  it("ends when Glance has answered or closed, even during a look-up", async () => {
    let end = (): void => undefined;
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    const waited = createRollback(FILE, () => new Promise(() => undefined), BOUNDS).untilBegun(over);
    end();
    expect(await waited).toBe(false);
  });

  it.each(["denied", "gone"] as const)(
    "ends at once if Glance said 100 and the client can no longer read the image (%s)",
    async (kind) => {
      const glance = scripted({ kind });
      expect(await createRollback(FILE, glance.lookUp, BOUNDS).untilBegun(never, true)).toBe(false);
      expect(glance.timeouts).toHaveLength(1);
    },
  );

  it("ends after rollback.timeout, and leaves the same time for the rollback", async () => {
    const glance = scripted(found("queued"));
    const rollback = createRollback(FILE, glance.lookUp, { timeoutMs: 200, intervalMs: 10 });
    expect(await rollback.untilBegun(never)).toBe(false);
    expect(await rollback.untilBack("unseen")).toMatchObject({ result: "unknown" });
    expect(glance.timeouts.at(-1)).toBeGreaterThan(150);
  });

  it.each(["active", "deactivated", "importing"])(
    "and an image that was %s before is not called this upload's",
    async (status) => {
      const rollback = createRollback(FILE, scripted(found(status)).lookUp, {
        timeoutMs: 50,
        intervalMs: 10,
      });
      await rollback.untilBegun(never);
      expect(await rollback.untilBack("unseen")).toBeUndefined();
    },
  );
});

describe("waiting for an aborted upload to be rolled back", () => {
  it.each(["queued", "deleted", "killed", "importing"])("ends at once if the image is %s", async (status) => {
    const glance = scripted(found(status));
    const { result, tookMs } = await wait(glance.lookUp);
    expect(result).toBe("queued");
    expect(glance.timeouts).toHaveLength(1);
    expect(glance.timeouts[0]).toBeGreaterThan(BOUNDS.timeoutMs - 100);
    expect(tookMs).toBeLessThan(1_000);
  });

  it("goes on while the image is saving or uploading", async () => {
    const glance = scripted(found("saving"), found("uploading"), found("saving"), found("queued"));
    const { result, tookMs } = await wait(glance.lookUp);
    expect(result).toBe("queued");
    expect(glance.timeouts).toHaveLength(4);
    expect(tookMs).toBeGreaterThanOrEqual(3 * BOUNDS.intervalMs - 3);
  });

  it("ends at once if the image is active", async () => {
    const glance = scripted(found("saving"), found("active"));
    expect((await wait(glance.lookUp)).result).toBe("active");
    expect(glance.timeouts).toHaveLength(2);
  });

  it("gives up after rollback.timeout, and no look-up takes longer than the rest of it", async () => {
    const glance = scripted(found("saving"));
    // Long enough for a second look-up on a machine that is busy.
    const { result, tookMs } = await wait(glance.lookUp, { timeoutMs: 1_000, intervalMs: 40 });
    expect(result).toBe("timeout");
    expect(tookMs).toBeGreaterThanOrEqual(999);
    expect(glance.timeouts.length).toBeGreaterThan(1);
    expect(glance.timeouts).toEqual([...glance.timeouts].sort((a, b) => b - a));
    expect(glance.timeouts[0]).toBeLessThanOrEqual(1_000);
    expect(glance.timeouts.at(-1)).toBeLessThan(970);
  });

  it("ends at once if the image is gone", async () => {
    const glance = scripted({ kind: "gone" });
    expect(await wait(glance.lookUp)).toMatchObject({ result: "unknown", remark: "" });
    expect(glance.timeouts).toHaveLength(1);
  });

  it("waits for the whole time if the token has expired, and tells the client", async () => {
    const glance = scripted({ kind: "denied" });
    const { result, remark, tookMs } = await wait(glance.lookUp, { timeoutMs: 150, intervalMs: 10 });
    expect([result, remark]).toEqual(["unknown", expect.stringContaining("Glance refused access")]);
    expect(tookMs).toBeGreaterThanOrEqual(149);
  });

  it("does not report an image as queued if Glance was not seen to start, and tells the client", async () => {
    const { result, remark } = await wait(scripted(found("queued")).lookUp, BOUNDS, "unseen");
    expect([result, remark]).toEqual(["unknown", expect.stringContaining("did not see Glance start")]);
  });

  it("reports queued if the image was saving before", async () => {
    const glance = scripted({ kind: "denied" }, found("saving"), found("queued"));
    expect(await wait(glance.lookUp)).toMatchObject({ result: "queued", remark: "" });
  });

  it("does not check the image if rollback.timeout is 0", async () => {
    const glance = scripted(found("queued"));
    expect(await wait(glance.lookUp, { timeoutMs: 0, intervalMs: 10 })).toMatchObject({
      result: "unknown",
      remark: "",
    });
    expect(glance.timeouts).toEqual([]);
  });

  it("repeats a look-up that failed", async () => {
    const glance = scripted({ kind: "failed" }, found("saving"), { kind: "failed" }, found("queued"));
    expect((await wait(glance.lookUp)).result).toBe("queued");
  });

  it("reports unknown if every look-up failed", async () => {
    const glance = scripted({ kind: "failed" });
    // Long enough for a second look-up on a machine that is busy.
    expect((await wait(glance.lookUp, { timeoutMs: 1_000, intervalMs: 40 })).result).toBe("unknown");
    expect(glance.timeouts.length).toBeGreaterThan(1);
  });

  it("reports timeout if the image was seen saving once", async () => {
    const glance = scripted(found("saving"), { kind: "failed" });
    expect((await wait(glance.lookUp, { timeoutMs: 100, intervalMs: 10 })).result).toBe("timeout");
  });
});

describe("the remark for the client after an aborted upload", () => {
  it.each([
    ["saving", "not yet set image one back"],
    ["active", "image one is active"],
  ])("says that the image is %s", async (status, remark) => {
    const bounds = { timeoutMs: 50, intervalMs: 10 };
    expect((await wait(scripted(found(status)).lookUp, bounds)).remark).toContain(remark);
  });

  it("is empty if the image is queued", async () => {
    expect((await wait(scripted(found("queued")).lookUp)).remark).toBe("");
  });
});
