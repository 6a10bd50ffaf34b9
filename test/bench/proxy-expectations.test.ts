import { describe, expect, it } from "vitest";
import { judge } from "../../bench/proxy/expectations.js";
import type { Figures } from "../../bench/proxy/rounds.js";
import { type Key, workloads } from "../../bench/proxy/workloads.js";

type Some = Partial<Figures>;

/** The verdicts on one workload, by what is judged. */
function verdicts(key: Key, figures: Readonly<Record<string, Some>>): Record<string, boolean | undefined> {
  const workload = workloads(1024).find((one) => one.key === key);
  if (!workload) throw new Error(`no workload ${key}`);
  const complete = Object.entries(figures).map(([peer, some]): [string, Figures] => [
    peer,
    { seconds: 1, cpuSeconds: 1, peakMiB: 1, failures: 0, ...some },
  ]);
  const found = judge([{ workload, figures: new Map(complete), direct: undefined }]);
  return Object.fromEntries(found.map(({ text, holds }) => [text.replace(`${workload.name}: `, ""), holds]));
}

const NGINX = "nginx, 1 MiB buffers";
const BARE = "bare http-proxy";
const OURS = "this proxy";

describe("the judgement of the benchmark beside the peers", () => {
  it("accepts a download as cheap and as fast as nginx, at a fifth of http-proxy's cost", () => {
    const figures = { [NGINX]: { cpuSeconds: 1 }, [BARE]: { cpuSeconds: 5 }, [OURS]: { cpuSeconds: 1 } };
    expect(verdicts("download", figures)).toEqual({
      [`CPU time relative to ${NGINX}, at most 1`]: true,
      [`CPU time relative to ${BARE}, at most 0.2`]: true,
      [`MiB/s relative to ${NGINX}, at least 1`]: true,
    });
  });

  it("refuses one that costs more and takes longer", () => {
    const figures = { [NGINX]: {}, [BARE]: { cpuSeconds: 5 }, [OURS]: { cpuSeconds: 1.01, seconds: 1.01 } };
    expect(Object.values(verdicts("download", figures))).toEqual([false, false, false]);
  });

  it("allows small uploads more CPU time relative to nginx than large ones", () => {
    const figures = { [NGINX]: {}, [BARE]: { cpuSeconds: 3 }, [OURS]: { cpuSeconds: 1.2 } };
    const ofNginx = (key: Key): boolean | undefined => Object.values(verdicts(key, figures))[0];
    expect(
      ["1 MiB uploads", "4 MiB uploads", "16 MiB uploads", "upload"].map((key) => ofNginx(key as Key)),
    ).toEqual([true, true, false, false]);
  });

  it("compares the time of spooled uploads, and the slowest requests beside a load", () => {
    const spooled = { [NGINX]: { seconds: 2 }, [OURS]: { seconds: 2.1 } };
    expect(verdicts("spooled upload", spooled)).toEqual({ [`time relative to ${NGINX}, at most 1`]: false });
    const tail = { [BARE]: { p99: 0.2 }, [OURS]: { p99: 0.3 } };
    expect(verdicts("GETs beside load", tail)).toEqual({ [`p99 relative to ${BARE}, at most 1.5`]: true });
  });

  it("judges TLS by nginx alone, whichever side has it", () => {
    expect(verdicts("TLS", { [NGINX]: {}, [OURS]: { cpuSeconds: 1.3, seconds: 1.25 } })).toEqual({
      [`CPU time relative to ${NGINX}, at most 1.3`]: true,
      [`MiB/s relative to ${NGINX}, at least 0.8`]: true,
    });
  });

  it.each([
    ["slow readers", 150],
    ["stalled uploads", 200],
    ["idle clients", 120],
  ] as const)("judges the memory of %s by this proxy's peak alone", (key, most) => {
    const text = `peak MiB, at most ${most}`;
    expect(verdicts(key, { [OURS]: { peakMiB: most } })).toEqual({ [text]: true });
    expect(verdicts(key, { [OURS]: { peakMiB: most + 0.1 } })).toEqual({ [text]: false });
  });

  it("accepts nothing if requests have failed, however cheap that was", () => {
    const figures = { [NGINX]: {}, [BARE]: {}, [OURS]: { cpuSeconds: 0.01, failures: 1 } };
    expect(Object.values(verdicts("download", figures))).toEqual([false, false, false]);
  });

  it("judges no ratio to a peer that was not measured", () => {
    expect(Object.values(verdicts("download", { [NGINX]: {}, [OURS]: {} }))).toEqual([true, undefined, true]);
  });

  it("judges no workload without a target", () => {
    expect(verdicts("ranges", { [NGINX]: {}, [OURS]: {} })).toEqual({});
  });
});
