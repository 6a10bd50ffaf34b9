/** What is sent through each proxy. */
export interface StreamLoad {
  readonly kind: "stream";
  readonly framing: "length" | "chunked" | "declared";
  /** Of each. */
  readonly mib: number;
  readonly streams: number;
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

/** How the cost of this proxy grows: with the size of an upload, and with their number at once. */
export function scaling(mib: number): Workload[] {
  const sizes = [1, 16, 256, 1024, 16 * 1024].filter((size) => size <= 4 * mib);
  return [
    ...sizes.map((size) => parallel(size, Math.max(1, Math.floor(mib / 8 / size)))),
    ...[1, 10, 100, 500].map((streams) => parallel(Math.ceil(mib / 2 / streams), streams)),
  ];
}

/** Streams enough for both of two workers. */
export function severalWorkers(mib: number): Workload {
  return parallel(Math.ceil(mib / 8), 8);
}

function parallel(mib: number, streams: number): Workload {
  return { name: `${streams} x ${mib} MiB`, load: { kind: "stream", framing: "length", mib, streams } };
}

export function gibOf({ mib, streams }: StreamLoad): number {
  return (mib * streams) / 1024;
}
