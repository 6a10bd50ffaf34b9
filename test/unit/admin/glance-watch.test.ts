/** When a Glance that does not answer is busy, and when it is silent. What goes over sockets is in test/e2e/readiness.test.ts. */
import { EventEmitter } from "node:events";
import type { ClientRequest } from "node:http";
import { Socket } from "node:net";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createGlanceWatch, type GlanceWatch } from "../../../src/admin/glance-watch.js";

const SILENCE_MS = 60_000;

class FakeRequest extends EventEmitter {
  destroyed = false;

  end(): void {
    const socket = new Socket(); // which is never connected to anything
    this.emit("socket", socket);
    if (connects) socket.emit("connect");
  }

  answer(): void {
    this.emit("response", new PassThrough().end());
  }

  destroy(): void {
    this.destroyed = true;
    this.emit("close");
  }
}

let connects: boolean;
let requests: FakeRequest[];
let activeAt: number;
let glance: GlanceWatch;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  connects = true;
  requests = [];
  activeAt = -Infinity;
  const upstream = {
    request() {
      const request = new FakeRequest();
      requests.push(request);
      return request as unknown as ClientRequest;
    },
  };
  glance = createGlanceWatch({ upstream, silenceMs: SILENCE_MS, lastActivity: () => activeAt });
});
afterEach(() => void vi.useRealTimers());

/** As a probe of `/readyz`; Glance does not answer. */
async function look(): Promise<string> {
  const state = glance.look();
  await vi.advanceTimersByTimeAsync(2_000);
  return state;
}

/** @returns the states seen by a probe every ten seconds. */
async function probe(seconds: number): Promise<string[]> {
  const states: string[] = [];
  for (let at = 0; at < seconds; at += 10) {
    states.push(await look());
    await vi.advanceTimersByTimeAsync(8_000);
  }
  return states;
}

const open = (): FakeRequest[] => requests.filter((request) => !request.destroyed);

it("a proxy that nobody asks does not find Glance silent, however long nothing happens", async () => {
  const first = glance.look();
  requests[0]?.answer();
  activeAt = performance.now();
  expect(await first).toBe("answers");
  await vi.advanceTimersByTimeAsync(10 * SILENCE_MS);
  expect(await look()).toBe("busy");
});

it("silence begins with the first question without an answer, and lasts for readiness.silence", async () => {
  expect(await probe(60)).toEqual(Array(6).fill("busy"));
  expect(await look()).toBe("silent");
});

it("silence begins anew with the first question after an activity", async () => {
  expect(await probe(50)).toEqual(Array(5).fill("busy"));
  activeAt = performance.now();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(await probe(60)).toEqual(Array(6).fill("busy"));
  expect(await look()).toBe("silent");
  activeAt = performance.now() + 1;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await look()).toBe("busy");
});

it("a Glance that takes no connection is unreachable, even if the timer of the question is early", async () => {
  connects = false;
  const state = glance.look();
  const now = performance.now.bind(performance);
  const early = vi.spyOn(performance, "now").mockImplementation(() => now() - 0.5);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await state).toBe("unreachable");
  early.mockRestore();
});

it("a late answer is heard, and makes Glance slow", async () => {
  expect(await probe(30)).toEqual(Array(3).fill("busy"));
  const state = glance.look();
  requests[0]?.answer();
  expect(await state).toBe("slow");
  expect(requests.slice(1).every((request) => request.destroyed)).toBe(true);
});

it("a question that a router in front of Glance ends late does not make Glance unreachable", async () => {
  expect(await look()).toBe("busy");
  await vi.advanceTimersByTimeAsync(10_000);
  const state = glance.look(); // asks again
  requests[0]?.emit("error", Object.assign(new Error("socket hang up"), { code: "ECONNRESET" }));
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await state).toBe("busy");
  expect(open()).toEqual([requests[1]]);
});

it("an answer at the first look after silence is enough", async () => {
  await probe(70);
  const state = glance.look();
  requests.at(-1)?.answer();
  expect(await state).toBe("answers");
});

it("probes that come every second do not put more than a question every ten seconds into Glance's queue", async () => {
  for (let second = 0; second < 120; second += 1) {
    void glance.look();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(open().length).toBeLessThanOrEqual(SILENCE_MS / 10_000 + 1);
  }
  expect(requests.length).toBeLessThanOrEqual(12);
});

it("asks no more often than every three seconds for a caller that asks every second, and tells it what was heard", async () => {
  const first = glance.recent();
  requests[0]?.answer();
  expect(await first).toBe("answers");
  for (let second = 0; second < 12; second += 1) {
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await glance.recent()).toBe("answers");
    requests.at(-1)?.answer();
  }
  expect(requests.length).toBeLessThanOrEqual(4);
});

it("drops what it has asked when the proxy closes", async () => {
  expect(await look()).toBe("busy");
  glance.close();
  expect(open()).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});
