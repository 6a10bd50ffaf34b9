import { describe, expect, it } from "vitest";
import type { ImageLookUp } from "../../../src/glance/image-status.js";
import { createRollback, explainRollback } from "../../../src/upload/rollback.js";

// Real time, in small pieces: fake timers do not reach node:timers/promises.
const BOUNDS = { timeout: 5_000, interval: 5 };
const found = (status: string): ImageLookUp => ({ kind: "found", status, size: null });

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

async function wait(lookUp: (timeoutMs: number) => Promise<ImageLookUp>, bounds = BOUNDS) {
  const startedAt = Date.now();
  const result = await createRollback(lookUp, bounds).untilBack();
  return { result, tookMs: Date.now() - startedAt };
}

describe("waiting for an upload to have begun, before it is aborted", () => {
  const never = new Promise<void>(() => undefined);

  it.each(["saving", "uploading", "active"])("ends as soon as the image is %s", async (status) => {
    const glance = scripted(found("queued"), found("queued"), found(status));
    await createRollback(glance.lookUp, BOUNDS).untilBegun(never);
    expect(glance.timeouts).toHaveLength(3);
  });

  it("ends where the image is not to be seen, and goes on where a look failed", async () => {
    const glance = scripted({ kind: "failed" }, { kind: "gone", httpStatus: 404 });
    await createRollback(glance.lookUp, BOUNDS).untilBegun(never);
    expect(glance.timeouts).toHaveLength(2);
  });

  it("ends when Glance has answered or closed, also in the middle of a look", async () => {
    let end = (): void => undefined;
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    const waited = createRollback(() => new Promise(() => undefined), BOUNDS).untilBegun(over);
    end();
    await waited;
  });

  it("leaves half of the time for what comes after", async () => {
    const glance = scripted(found("queued"));
    const rollback = createRollback(glance.lookUp, { timeout: 400, interval: 10 });
    await rollback.untilBegun(never);
    expect(await rollback.untilBack()).toBe("queued");
    expect(glance.timeouts.at(-1)).toBeLessThanOrEqual(200);
    expect(glance.timeouts.at(-1)).toBeGreaterThan(0);
  });
});

describe("waiting for an aborted upload to be rolled back", () => {
  it.each(["queued", "deleted", "killed", "importing"])(
    "ends at once where the image is %s",
    async (status) => {
      const glance = scripted(found(status));
      const { result, tookMs } = await wait(glance.lookUp);
      expect(result).toBe("queued");
      expect(glance.timeouts).toHaveLength(1);
      expect(glance.timeouts[0]).toBeGreaterThan(BOUNDS.timeout - 100);
      expect(tookMs).toBeLessThan(1_000);
    },
  );

  it("goes on while the image is saving or uploading", async () => {
    const glance = scripted(found("saving"), found("uploading"), found("saving"), found("queued"));
    const { result, tookMs } = await wait(glance.lookUp);
    expect(result).toBe("queued");
    expect(glance.timeouts).toHaveLength(4);
    expect(tookMs).toBeGreaterThanOrEqual(3 * BOUNDS.interval - 3);
  });

  it("ends at once where the image is active", async () => {
    const glance = scripted(found("saving"), found("active"));
    expect((await wait(glance.lookUp)).result).toBe("active");
    expect(glance.timeouts).toHaveLength(2);
  });

  it("gives up when the time is over, and never looks longer than is left of it", async () => {
    const glance = scripted(found("saving"));
    const { result, tookMs } = await wait(glance.lookUp, { timeout: 150, interval: 40 });
    expect(result).toBe("timeout");
    expect(tookMs).toBeGreaterThanOrEqual(149);
    expect(tookMs).toBeLessThan(1_000);
    expect(glance.timeouts.length).toBeGreaterThan(1);
    expect(glance.timeouts).toEqual([...glance.timeouts].sort((a, b) => b - a));
    expect(glance.timeouts[0]).toBeLessThanOrEqual(150);
    expect(glance.timeouts.at(-1)).toBeLessThan(120);
  });

  it.each([401, 403, 404])(
    "ends at once where Glance answers %i: nothing is to be seen",
    async (httpStatus) => {
      const glance = scripted({ kind: "gone", httpStatus });
      expect((await wait(glance.lookUp)).result).toBe("unknown");
      expect(glance.timeouts).toHaveLength(1);
    },
  );

  it("looks again where a look failed", async () => {
    const glance = scripted({ kind: "failed" }, found("saving"), { kind: "failed" }, found("queued"));
    expect((await wait(glance.lookUp)).result).toBe("queued");
  });

  it("does not know where every look failed", async () => {
    const glance = scripted({ kind: "failed" });
    expect((await wait(glance.lookUp, { timeout: 100, interval: 10 })).result).toBe("unknown");
    expect(glance.timeouts.length).toBeGreaterThan(1);
  });

  it("has seen enough for a timeout if the image was once seen saving", async () => {
    const glance = scripted(found("saving"), { kind: "failed" });
    expect((await wait(glance.lookUp, { timeout: 100, interval: 10 })).result).toBe("timeout");
  });
});

describe("what the client is told", () => {
  it("is a remark where the image was not put back, or is active", () => {
    expect(explainRollback("timeout", "one")).toContain("not yet put image one back");
    expect(explainRollback("active", "one")).toContain("image one as active");
  });

  it.each(["queued", "unknown", undefined] as const)("is nothing for %s", (result) => {
    expect(explainRollback(result, "one")).toBe("");
  });
});
