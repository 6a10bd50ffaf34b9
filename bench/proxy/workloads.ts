/** What is sent through each proxy. */
export type Load =
  | {
      readonly kind: "stream";
      readonly framing: "length" | "chunked" | "declared";
      readonly mib: number;
      readonly streams: number;
    }
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

export function workloads(quick: boolean): Workload[] {
  const mib = quick ? 512 : 4096;
  const count = quick ? 2_000 : 20_000;
  const stream = (framing: "length" | "chunked" | "declared", streams = 1): Load => ({
    kind: "stream",
    framing,
    mib: mib / streams,
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
    { name: `eight uploads of ${mib / 8} MiB at once, Content-Length`, load: stream("length", 8) },
    { name: "uploads of 1 KiB, 16 connections", load: requests("PUT", 1024) },
    { name: "small GETs, 16 connections", load: requests("GET", 0) },
    { name: "200 uploads that Glance does not read", load: { kind: "stall", connections: 200 } },
  ];
}

/** How the cost of this proxy grows: with the size of an upload, and with their number at once. */
export function scaling(quick: boolean): Workload[] {
  const most = quick ? 1024 : 16 * 1024;
  const stream = (mib: number, streams: number): Workload => ({
    name: `${streams} x ${mib} MiB`,
    load: { kind: "stream", framing: "length", mib, streams },
  });
  return [
    stream(1, 256),
    stream(16, 32),
    stream(256, 2),
    stream(1024, 1),
    ...(quick ? [] : [stream(most, 1)]),
    ...[1, 10, 100, 500].map((streams) => stream(Math.ceil(2000 / streams), streams)),
  ];
}

export function gibOf(load: Load): number | undefined {
  return load.kind === "stream" ? (load.mib * load.streams) / 1024 : undefined;
}
