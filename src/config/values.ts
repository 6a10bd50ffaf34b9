/**
 * The types of configuration values: conversion from the text of a file or variable, and back for `--check-config`. Faults and the
 * reference quote `takes`. `pattern`, `minimum` and `maximum` are for the JSON Schema, which cannot express a conversion. Pure.
 */
import { isIPv4, isIPv6 } from "node:net";
import { z } from "zod";
import { SIZE_HEADER } from "../vocabulary/size-header.js";

/** Largest first: a number is printed with the first unit that divides it. */
const SIZE_UNITS = { TiB: 2 ** 40, GiB: 2 ** 30, MiB: 2 ** 20, KiB: 2 ** 10, B: 1 } as const;
const TIME_UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;

/** Maximum delay of a Node timer: https://nodejs.org/api/timers.html#settimeoutcallback-delay-args */
export const MAX_TIMER_MS = 2 ** 31 - 1;

function inLargestUnit(amount: number, units: Readonly<Record<string, number>>): string | 0 {
  if (amount === 0) return 0;
  const [name, factor] = Object.entries(units).find(([, factor]) => amount % factor === 0) ?? ["", 1];
  return `${amount / factor}${name}`;
}

const numberOrText = z.union([z.string(), z.number()]);

/** `123` or `64MiB`, converted to bytes. */
export const sizeBytes = z
  .codec(numberOrText, z.number(), {
    decode(value, context) {
      const match = /^(\d+)\s*(B|KiB|MiB|GiB|TiB)?$/.exec(String(value));
      const bytes = match
        ? Number(match[1]) * SIZE_UNITS[(match[2] ?? "B") as keyof typeof SIZE_UNITS]
        : Number.NaN;
      if (Number.isSafeInteger(bytes)) return bytes;
      context.issues.push({ code: "custom", input: value });
      return z.NEVER;
    },
    encode: (bytes) => inLargestUnit(bytes, SIZE_UNITS),
  })
  .meta({
    takes: "a number of bytes, or a size with a unit, such as 64MiB or 10GiB",
    pattern: "^\\d+\\s*(B|KiB|MiB|GiB|TiB)?$",
    minimum: 0,
  });

/** `500ms`, `30s`, `5m`, `6h`, `1d` or 0, converted to milliseconds. */
export const durationMs = z
  .codec(numberOrText, z.number(), {
    decode(value, context) {
      if (value === 0 || value === "0") return 0;
      const match = /^(\d+)\s*(ms|s|m|h|d)$/.exec(String(value));
      const ms = match ? Number(match[1]) * TIME_UNITS[match[2] as keyof typeof TIME_UNITS] : Number.NaN;
      if (ms <= MAX_TIMER_MS) return ms;
      context.issues.push({ code: "custom", input: value });
      return z.NEVER;
    },
    encode: (ms) => inLargestUnit(ms, TIME_UNITS),
  })
  .meta({
    takes: "0, or a time with a unit, such as 500ms, 30s or 6h, up to 24d",
    pattern: "^(0|\\d+\\s*(ms|s|m|h|d))$",
    minimum: 0,
    maximum: 0, // of a number; a text has a unit
  });

export interface ListenAddress {
  /** An IPv6 address has no brackets. */
  readonly host: string;
  readonly port: number;
}

/** Numbers with dots must be an IPv4 address: `300.1.1.1` as a host name would fail only when it is resolved. */
function isHost(host: string): boolean {
  return !/^[\d.]+$/.test(host) || isIPv4(host);
}

/** `HOST:PORT`, with an IPv6 address in brackets. */
export const listenAddress = z
  .codec(z.string(), z.custom<ListenAddress>(), {
    decode(value, context) {
      const [, ipv6, name, digits] = /^(?:\[([^[\]\s]+)\]|([^:[\]/\s@]+)):(\d{1,5})$/.exec(value) ?? [];
      const port = Number(digits);
      if (port <= 65_535) {
        if (ipv6 !== undefined && isIPv6(ipv6)) return { host: ipv6, port };
        if (name !== undefined && isHost(name)) return { host: name, port };
      }
      context.issues.push({ code: "custom", input: value });
      return z.NEVER;
    },
    encode: ({ host, port }) => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`),
  })
  .meta({
    takes: "HOST:PORT, such as 0.0.0.0:9292 or [::1]:9292",
    pattern: "^(\\[[^\\[\\]\\s]+\\]|[^:\\[\\]/\\s@]+):\\d{1,5}$",
  });

/** `http(s)://HOST:PORT[/PATH]` or `unix:/PATH`. Credentials, query and fragment are refused: they would be sent or dropped silently. */
export const upstreamUrl = z
  .codec(z.string(), z.custom<URL>(), {
    decode(value, context) {
      // URL accepts and repairs blanks, `http:host` and a lone `?`. These are refused.
      const wellFormed = /^(https?:\/\/[^\s?#]+|unix:\/[^\s?#/][^\s?#]*)$/i.test(value);
      const url = wellFormed && URL.canParse(value) ? new URL(value) : undefined;
      if (url?.username === "" && url.password === "") return url;
      context.issues.push({ code: "custom", input: value });
      return z.NEVER;
    },
    encode: (url) => (url.pathname === "/" ? url.href.replace(/\/$/, "") : url.href),
  })
  .meta({
    takes: "the URL of Glance, such as http://127.0.0.1:19292, without user, query or fragment",
    example: "https://glance.internal:9292",
    pattern: "^([Hh][Tt][Tt][Pp][Ss]?://[^\\s?#]+|[Uu][Nn][Ii][Xx]:/[^\\s?#/][^\\s?#]*)$",
  });

/** An address, or a network in CIDR form. */
export const network = z
  .union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()])
  .meta({ takes: "addresses or networks, such as 192.0.2.7 or 10.0.0.0/8" });

/** `*`, or an origin in the form of the `Origin` header. With a trailing slash or a path, it would never match. */
export const origin = z
  .string()
  .refine((value) => value === "*" || (URL.canParse(value) && new URL(value).origin === value))
  .meta({ takes: "origins such as https://horizon.example, without a path or a trailing slash" });

/** The identifier of a store, as in Glance's `enabled_backends`. */
export const storeId = z
  .string()
  .regex(/^[^\s,]+$/)
  .meta({ takes: "store identifiers" });

/** A path of which faults show nothing: the caller may have set the secret itself instead of its file. */
export const absolutePath = z
  .string()
  .regex(/^\/./)
  .meta({ takes: "the absolute path of a file", example: "/etc/glance-size-proxy/admin-token" });

/** A host as {@link normalizeHost} returns it, or undefined if the text is no host, with or without a port. */
export function normalizeHost(text: string): string | undefined {
  if (!/^[^\s/?#@\\]+$/.test(text)) return undefined;
  const url = `http://${isIPv6(text) ? `[${text}]` : text}`;
  return URL.canParse(url) ? new URL(url).hostname.replace(/\.$/, "") : undefined;
}

/** A host name or an address, without a port. An IPv6 address may have brackets. */
export const hostName = z
  .string()
  .regex(/^(\[[\dA-Fa-f:.]+\]|[\dA-Fa-f:.]+|[^\s/?#@\\:[\]]+)$/, { abort: true })
  .refine((value) => !value.includes(":") || isIPv6(value.replace(/^\[|\]$/g, "")))
  .refine((value) => normalizeHost(value) !== undefined)
  .meta({ takes: "host names or addresses without a port, such as localhost or [::1]" });

/** These are no hints: the proxy reads them for every upload. */
const ALWAYS_READ = ["content-length", SIZE_HEADER];

/** A header in which clients may declare the size. */
export const hintName = z
  .string()
  .regex(/^[A-Za-z0-9-]+$/)
  .toLowerCase()
  .refine((name) => !ALWAYS_READ.includes(name), {
    error: ({ input }) => `must not have ${String(input)}, which the proxy always reads: remove it`,
  })
  .meta({ takes: "header names" });

const LABEL = "[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?";
const HOST_NAME = new RegExp(`^(\\*\\.)?(${LABEL}\\.)*${LABEL}$`);

/** A host name, `*.example.org`, an address or a network. A name that ends in a number would be another spelling of an address. */
export const hostEntry = z
  .union([
    network,
    z
      .string()
      .toLowerCase()
      .regex(HOST_NAME)
      .refine((name) => !/(^|\.)(\d+|0x[0-9a-f]*)$/.test(name)),
  ])
  .meta({
    takes:
      "host names, such as images.example.org or *.example.org, or addresses or networks, such as 10.0.0.0/8",
  });
