/** The kinds of value a configuration key takes, as text in a file or in the environment. Pure. */
import { z } from "zod";

const UNITS = { "": 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;
const MILLISECONDS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Longest time a Node timer can count. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** `123` or `64MiB`; becomes a number of bytes. */
export const sizeBytes = z.union([z.string(), z.number()]).transform((value, context) => {
  const match = /^(\d+)\s*(B|KiB|MiB|GiB|TiB)?$/.exec(String(value));
  const bytes = match ? Number(match[1]) * UNITS[(match[2] ?? "") as keyof typeof UNITS] : Number.NaN;
  if (Number.isSafeInteger(bytes)) return bytes;
  context.addIssue({ code: "custom", message: "takes a number of bytes, or a size such as 64MiB or 10GiB" });
  return z.NEVER;
});

/** `500ms`, `30s`, `5m`, `6h`, `1d` or 0; becomes milliseconds. */
export const durationMs = z.union([z.string(), z.number()]).transform((value, context) => {
  if (value === 0 || value === "0") return 0;
  const match = /^(\d+)\s*(ms|s|m|h|d)$/.exec(String(value));
  const ms = match ? Number(match[1]) * MILLISECONDS[match[2] as keyof typeof MILLISECONDS] : Number.NaN;
  if (ms <= MAX_TIMER_MS) return ms;
  context.addIssue({ code: "custom", message: "takes 0 or a time with its unit, such as 500ms, 30s or 6h, up to 24d" });
  return z.NEVER;
});

export interface ListenAddress {
  /** Without brackets, also for IPv6. */
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`, IPv6 in brackets. */
export const listenAddress = z.string().transform((value, context): ListenAddress => {
  const match = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(value);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host !== undefined && port <= 65_535) return { host, port };
  context.addIssue({ code: "custom", message: "takes HOST:PORT, such as 0.0.0.0:9292 or [::1]:9292" });
  return z.NEVER;
});

/** `http://HOST:PORT[/PATH]`. No credentials, query or fragment: they would be sent, or lost, silently. */
export const upstreamUrl = z.string().transform((value, context): URL => {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (
    url?.protocol === "http:" &&
    url.hostname !== "" &&
    url.username === "" &&
    url.password === "" &&
    url.search === "" &&
    url.hash === ""
  ) {
    return url;
  }
  context.addIssue({
    code: "custom",
    message: "takes the URL of a Glance, such as http://127.0.0.1:9292, without user, query or fragment",
  });
  return z.NEVER;
});
