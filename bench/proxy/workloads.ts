/** What is sent through each proxy. */
export interface StreamLoad {
  readonly kind: "stream";
  readonly framing: "length" | "chunked" | "declared";
  /** Of each upload. */
  readonly mib: number;
  /** At once. */
  readonly streams: number;
  /** One after another, in each stream. */
  readonly each: number;
}

export type Load =
  | StreamLoad
  | {
      readonly kind: "requests";
      readonly method: "GET" | "PUT";
      readonly bytes: number;
      readonly connections: number;
      readonly count: number;
    }
  | { readonly kind: "stall"; readonly connections: number };

export interface Workload {
  readonly name: string;
  readonly load: Load;
}

/** @param mib of each workload of uploads. */
export function workloads(mib: number): Workload[] {
  const count = mib * 5;
  const stream = (framing: "length" | "chunked" | "declared", streams = 1): Load => ({
    kind: "stream",
    framing,
    mib: Math.ceil(mib / streams),
    streams,
    each: 1,
  });
  const requests = (method: "GET" | "PUT", bytes: number): Load => ({
    kind: "requests",
    method,
    bytes,
    connections: 16,
    count,
  });
  return [
    { name: `one upload of ${mib} MiB, Content-Length`, load: stream("length") },
    {
      name: `one upload of ${mib} MiB, chunks of 64 KiB, with x-openstack-image-size`,
      load: stream("declared"),
    },
    { name: `one upload of ${mib} MiB, chunks of 64 KiB, no size told`, load: stream("chunked") },
    { name: `eight uploads of ${Math.ceil(mib / 8)} MiB at once, Content-Length`, load: stream("length", 8) },
    { name: "uploads of 1 KiB, 16 connections", load: requests("PUT", 1024) },
    { name: "small GETs, 16 connections", load: requests("GET", 0) },
    { name: "200 uploads that Glance does not read", load: { kind: "stall", connections: 200 } },
  ];
}

/** How the cost grows: with the size of an upload, and with their number at once. */
export function scaling(mib: number): Workload[] {
  const sizes = [1, 4, 16, 256, 1024, 16 * 1024].filter((size) => size <= 4 * mib);
  const size = Math.min(16, mib);
  return [
    ...sizes.map((one) => several(one, 1, mib / 8)),
    ...[10, 100, 500].map((streams) => several(size, streams, mib / 2)),
  ];
}

/** Streams enough for both of two workers. */
export function severalWorkers(mib: number): Workload {
  return several(Math.ceil(mib / 8), 8, mib);
}

/** @param total MiB of all together; more only where one upload on each stream is. */
function several(mib: number, streams: number, total: number): Workload {
  const each = Math.max(1, Math.floor(total / mib / streams));
  const name = `${mib} MiB, ${streams === 1 ? "one after another" : `${streams} at once`}`;
  return { name, load: { kind: "stream", framing: "length", mib, streams, each } };
}

/** Of all its uploads. */
export function gibOf({ mib, streams, each }: StreamLoad): number {
  return (mib * streams * each) / 1024;
}
