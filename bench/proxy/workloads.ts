/** What is sent through each proxy. */
export interface StreamLoad {
  readonly kind: "stream";
  readonly direction: "upload" | "download";
  /** Of an upload: `declared` is chunked with the size header, `digest` has a length and `Content-Digest: sha-256`. Of a download: `range` asks for one part after another. */
  readonly body: "length" | "chunked" | "declared" | "digest" | "whole" | "range";
  /** Of each body. */
  readonly mib: number;
  /** At once. */
  readonly streams: number;
  /** One after another, in each stream. */
  readonly each: number;
}

/** Small requests. */
export interface RequestsLoad {
  readonly kind: "requests";
  readonly method: "GET" | "PUT";
  readonly bytes: number;
  readonly connections: number;
  readonly count: number;
}

/** Clients that keep a connection and move little: uploads that Glance does not read, slow downloads, or nothing. */
export interface HoldLoad {
  readonly kind: "hold";
  readonly what: "stalled" | "slow" | "idle";
  readonly clients: number;
  readonly seconds: number;
}

/** Small GETs beside large uploads and downloads. */
export interface TailLoad {
  readonly kind: "tail";
  /** In each direction. */
  readonly streams: number;
  readonly connections: number;
  readonly seconds: number;
}

export type Load = StreamLoad | RequestsLoad | HoldLoad | TailLoad;

/** Each workload of the page, whatever its size in this run. */
export type Key =
  | "download"
  | "eight downloads"
  | "ranges"
  | "upload"
  | "declared upload"
  | "chunked upload"
  | "digested upload"
  | "eight uploads"
  | "1 MiB uploads"
  | "4 MiB uploads"
  | "16 MiB uploads"
  | "64 MiB uploads"
  | "100 uploads"
  | "TLS"
  | "Unix socket"
  | "spooled upload"
  | "1 KiB uploads"
  | "small GETs"
  | "GETs beside load"
  | "slow readers"
  | "stalled uploads"
  | "idle clients";

export interface Workload {
  readonly key: Key;
  readonly name: string;
  readonly load: Load;
  /** What clients speak; default tcp. */
  readonly client?: "tcp" | "tls";
  /** What Glance speaks, or that it listens on a Unix socket; default tcp. */
  readonly glance?: "tcp" | "tls" | "unix";
  /** Whether the proxy stores the whole upload before it sends it on. */
  readonly spooled?: boolean;
}

/** @param mib of each workload of large bodies; the others shrink with it. */
export function workloads(mib: number): Workload[] {
  return [
    ...downloads(mib),
    ...uploads(mib),
    ...otherConnections(Math.ceil(mib / 4)),
    ...spooled(mib),
    ...smallRequests(mib),
    ...heldConnections(Math.min(Math.ceil(mib / 64), 4)),
  ];
}

function downloads(mib: number): Workload[] {
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
  ];
}

function uploads(mib: number): Workload[] {
  const eighth = Math.ceil(mib / 8);
  const part = Math.min(16, eighth);
  return [
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
      key: "digested upload",
      name: `one upload of ${mib} MiB, Content-Length, with a digest of sha-256`,
      load: stream("upload", "digest", mib, 1),
    },
    {
      key: "eight uploads",
      name: `eight uploads of ${eighth} MiB at once, Content-Length`,
      load: stream("upload", "length", eighth, 8),
    },
    ...([1, 4, 16, 64] as const).map((size): Workload => ({
      key: `${size} MiB uploads`,
      name: `uploads of ${size} MiB, one after another`,
      // Not an eighth: that takes a tenth of a second, in which V8 is still compiling.
      load: stream("upload", "length", size, 1, mib / size),
    })),
    {
      key: "100 uploads",
      name: `uploads of ${part} MiB, 100 at once`,
      load: stream("upload", "length", part, 100, mib / part / 200),
    },
  ];
}

function otherConnections(mib: number): Workload[] {
  const connections = [
    ["TLS", "TLS from clients", "tls", "tcp"],
    ["TLS", "TLS to Glance", "tcp", "tls"],
    ["TLS", "TLS on both sides", "tls", "tls"],
    ["Unix socket", "Unix socket to Glance", "tcp", "unix"],
  ] as const;
  const bodies = [
    ["download", "whole"],
    ["upload", "length"],
  ] as const;
  return connections.flatMap(([key, which, client, glance]) =>
    bodies.map(([direction, body]): Workload => ({
      key,
      name: `${which}, one ${direction} of ${mib} MiB`,
      load: stream(direction, body, mib, 1),
      client,
      glance,
    })),
  );
}

function spooled(mib: number): Workload[] {
  const workload = (which: string, size: number, each?: number): Workload => ({
    key: "spooled upload",
    name: `${which} of ${size} MiB, chunks of 64 KiB, no size declared`,
    load: stream("upload", "chunked", size, 1, each),
    spooled: true,
  });
  return [
    // One alone is over before V8 has compiled anything.
    workload("16 consecutive spooled uploads", Math.ceil(mib / 64), 16),
    workload("one spooled upload", Math.ceil(mib / 4)),
    workload("one spooled upload", mib),
  ];
}

function smallRequests(mib: number): Workload[] {
  const requests = { kind: "requests", connections: 16, count: mib * 10 } as const;
  return [
    {
      key: "1 KiB uploads",
      name: "uploads of 1 KiB, 16 connections",
      load: { ...requests, method: "PUT", bytes: 1024 },
    },
    {
      key: "small GETs",
      name: "small GETs, 16 connections",
      load: { ...requests, method: "GET", bytes: 0 },
    },
    {
      key: "GETs beside load",
      name: "small GETs beside eight downloads and eight uploads, 16 connections",
      load: { kind: "tail", streams: 8, connections: 16, seconds: Math.min(Math.ceil(mib / 64), 8) },
    },
  ];
}

function heldConnections(seconds: number): Workload[] {
  const hold = { kind: "hold", seconds } as const;
  return [
    {
      key: "slow readers",
      name: "200 downloads that clients read slowly",
      load: { ...hold, what: "slow", clients: 200 },
    },
    {
      key: "stalled uploads",
      name: "200 uploads that Glance does not read",
      load: { ...hold, what: "stalled", clients: 200 },
    },
    {
      key: "idle clients",
      name: "500 idle kept-alive clients",
      load: { ...hold, what: "idle", clients: 500 },
    },
  ];
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

/** Of all its bodies. */
export function gibOf({ mib, streams, each }: StreamLoad): number {
  return (mib * streams * each) / 1024;
}
