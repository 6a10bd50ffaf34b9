/** What is sent through each proxy. */
export interface StreamLoad {
  readonly kind: "stream";
  readonly direction: "upload" | "download";
  /** Of an upload: `declared` is chunked with the size header. Of a download: `range` asks for one part after another. */
  readonly body: "length" | "chunked" | "declared" | "whole" | "range";
  /** Of each body. */
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

type TlsSides = "TLS from clients" | "TLS to Glance" | "TLS on both sides";

/** Each workload of the page, whatever its size in this run. */
export type Key =
  | "download"
  | "eight downloads"
  | "ranges"
  | "upload"
  | "declared upload"
  | "chunked upload"
  | "eight uploads"
  | "1 MiB uploads"
  | "4 MiB uploads"
  | "16 MiB uploads"
  | "64 MiB uploads"
  | "100 uploads"
  | "1 KiB uploads"
  | "small GETs"
  | `${TlsSides}, ${StreamLoad["direction"]}`
  | "stalled uploads";

export interface Workload {
  readonly key: Key;
  readonly name: string;
  readonly load: Load;
  /** What clients speak; default tcp. */
  readonly client?: "tcp" | "tls";
  /** What Glance speaks; default tcp. */
  readonly glance?: "tcp" | "tls";
}

/** @param mib of each workload of large bodies. */
export function workloads(mib: number): Workload[] {
  const eighth = Math.ceil(mib / 8);
  const part = Math.min(8, eighth);
  return [
    {
      key: "download",
      name: `one download of ${mib} MiB`,
      load: stream("download", "whole", mib, 1),
    },
    {
      key: "eight downloads",
      name: `eight downloads of ${eighth} MiB at once`,
      load: stream("download", "whole", eighth, 8),
    },
    {
      key: "ranges",
      name: `downloads of ranges of ${part} MiB, eight connections`,
      load: stream("download", "range", part, 8, eighth / part),
    },
    {
      key: "upload",
      name: `one upload of ${mib} MiB, Content-Length`,
      load: stream("upload", "length", mib, 1),
    },
    {
      key: "declared upload",
      name: `one upload of ${mib} MiB, chunks of 64 KiB, with x-openstack-image-size`,
      load: stream("upload", "declared", mib, 1),
    },
    {
      key: "chunked upload",
      name: `one upload of ${mib} MiB, chunks of 64 KiB, no size declared`,
      load: stream("upload", "chunked", mib, 1),
    },
    {
      key: "eight uploads",
      name: `eight uploads of ${eighth} MiB at once, Content-Length`,
      load: stream("upload", "length", eighth, 8),
    },
    ...([1, 4, 16, 64] as const).map((size): Workload => ({
      key: `${size} MiB uploads`,
      name: `uploads of ${size} MiB, one after another`,
      load: stream("upload", "length", size, 1, eighth / size),
    })),
    {
      key: "100 uploads",
      name: `uploads of ${part} MiB, 100 at once`,
      load: stream("upload", "length", part, 100, mib / part / 200),
    },
    { key: "1 KiB uploads", name: "uploads of 1 KiB, 16 connections", load: requests("PUT", 1024, mib * 5) },
    { key: "small GETs", name: "small GETs, 16 connections", load: requests("GET", 0, mib * 5) },
    {
      key: "stalled uploads",
      name: "200 uploads that Glance does not read",
      load: { kind: "stall", connections: 200 },
    },
    ...tlsWorkloads(Math.ceil(mib / 4)),
  ];
}

function tlsWorkloads(mib: number): Workload[] {
  const sides = [
    ["TLS from clients", "tls", "tcp"],
    ["TLS to Glance", "tcp", "tls"],
    ["TLS on both sides", "tls", "tls"],
  ] as const;
  return sides.flatMap(([which, client, glance]) =>
    (
      [
        ["download", "whole"],
        ["upload", "length"],
      ] as const
    ).map(([direction, body]): Workload => ({
      key: `${which}, ${direction}`,
      name: `${which}, one ${direction} of ${mib} MiB`,
      load: stream(direction, body, mib, 1),
      client,
      glance,
    })),
  );
}

/** @param each rounded up. */
function stream(
  direction: StreamLoad["direction"],
  body: StreamLoad["body"],
  mib: number,
  streams: number,
  each = 1,
): StreamLoad {
  return { kind: "stream", direction, body, mib, streams, each: Math.ceil(each) };
}

function requests(method: "GET" | "PUT", bytes: number, count: number): Load {
  return { kind: "requests", method, bytes, connections: 16, count };
}

/** Of all its bodies. */
export function gibOf({ mib, streams, each }: StreamLoad): number {
  return (mib * streams * each) / 1024;
}
