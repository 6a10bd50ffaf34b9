/** Where the proxy stands: in front of a Glance under each server, and with a balancer that shares connections on either side. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { afterAll } from "vitest";
import { createGlanceSizeProxy, type Log } from "../../src/index.js";
import { BALANCER_REQUIREMENTS, type BalancerKind, startBalancer } from "../support/balancers.js";
import { type GlanceServer, SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { borrowGlance } from "../support/lent-glances.js";
import type { Requirement } from "../support/provided.js";
import { relayUnderTest, startProxy } from "../support/proxy.js";
import { request } from "../support/raw-http.js";
import type { RealGlance } from "../support/real-glance.js";

export interface Topology {
  readonly name: string;
  readonly server: GlanceServer;
  /** Clients connect to it. */
  readonly before?: BalancerKind;
  /** The proxy connects to it. */
  readonly behind?: BalancerKind;
  /** As middleware on a server that shows no more than Node's default of header lines. */
  readonly middleware?: true;
}

const EVERYWHERE: readonly Topology[] = [
  { name: "eventlet", server: "eventlet" },
  { name: "uWSGI", server: "uwsgi" },
  { name: "uWSGI's router, which keeps connections", server: "uwsgi-router" },
  { name: "Apache and mod_wsgi", server: "apache" },
  { name: "Apache's proxy and eventlet", server: "apache-proxy" },
  { name: "eventlet, and clients come through HAProxy", server: "eventlet", before: "haproxy" },
  { name: "eventlet, and clients come through nginx", server: "eventlet", before: "nginx" },
  { name: "HAProxy and eventlet", server: "eventlet", behind: "haproxy" },
  { name: "nginx and eventlet", server: "eventlet", behind: "nginx" },
];

/** How bodies are read makes a difference on the side of clients alone: the raw relay stands behind each kind of client. */
export const TOPOLOGIES: readonly Topology[] =
  relayUnderTest() === "stream" || process.env["HOSTILE_RUNS"] !== undefined
    ? EVERYWHERE
    : EVERYWHERE.filter(
        ({ server, behind }) => ["eventlet", "uwsgi"].includes(server) && behind === undefined,
      );

/** Its relay is always the one over streams. */
export const MIDDLEWARE: readonly Topology[] =
  relayUnderTest() === "stream"
    ? [{ name: "eventlet, as middleware", server: "eventlet", middleware: true }]
    : [];

export function requirementsOf({ server, before, behind }: Topology): readonly Requirement[] {
  const balancers = [before, behind].filter((kind) => kind !== undefined);
  return [...SERVER_REQUIREMENTS[server], ...balancers.flatMap((kind) => BALANCER_REQUIREMENTS[kind])];
}

/** @returns a Glance under that server: one for all settings of a file, which ends with the tests of that file. */
export function useGlances(): (server: GlanceServer) => Promise<RealGlance> {
  const started = new Map<GlanceServer, Promise<RealGlance>>();
  afterAll(async () => {
    for (const glance of started.values()) await (await glance.catch(() => undefined))?.stop();
  });
  return (server) => {
    const glance = started.get(server) ?? borrowGlance(server);
    started.set(server, glance);
    return glance;
  };
}

export interface RunningTopology {
  readonly glance: RealGlance;
  /** Where clients connect. */
  readonly port: number;
  /** Each line that the proxy has logged. */
  readonly logged: readonly Readonly<Record<string, unknown>>[];
  /** How many requests the proxy has counted, refused ones included. */
  readonly counted: () => Promise<number>;
  readonly stop: () => Promise<void>;
}

/** Starts what stands around `glance`. */
export async function startTopology(topology: Topology, glance: RealGlance): Promise<RunningTopology> {
  const stops: (() => unknown)[] = [];
  const stop = async (): Promise<void> => {
    for (const one of stops.reverse()) await one();
  };
  const balance = async (kind: BalancerKind | undefined, port: number): Promise<number> => {
    if (kind === undefined) return port;
    const balancer = await startBalancer(kind, port);
    stops.push(() => balancer.stop());
    return balancer.port;
  };
  try {
    const upstreamUrl = `http://127.0.0.1:${await balance(topology.behind, glance.port)}`;
    const proxy = await (topology.middleware ? startMiddleware(upstreamUrl) : startServer(upstreamUrl));
    stops.push(proxy.stop);
    return { ...proxy, glance, port: await balance(topology.before, proxy.port), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Short: a server in between may hold a small upload back from Glance, and the proxy then looks for this long in vain. */
const ROLLBACK = { timeout: "1s" } as const;

interface StartedProxy extends Pick<RunningTopology, "port" | "logged" | "counted"> {
  readonly stop: () => void;
}

async function startServer(upstreamUrl: string): Promise<StartedProxy> {
  const proxy = await startProxy(upstreamUrl, { rollback: ROLLBACK });
  return {
    port: proxy.port,
    logged: proxy.logged,
    counted: async () => sumOf((await request(proxy.adminPort, "GET", "/metrics")).text),
    stop: () => proxy.stop(),
  };
}

async function startMiddleware(upstreamUrl: string): Promise<StartedProxy> {
  const logged: Record<string, unknown>[] = [];
  const keep = (fields: object, msg: string): void => void logged.push({ ...fields, msg });
  const log: Log = { debug: keep, info: keep, warn: keep, error: keep };
  const proxy = createGlanceSizeProxy({ upstream: { url: upstreamUrl }, rollback: ROLLBACK }, { log });
  const server = createServer({ requestTimeout: 0, maxHeaderSize: 64 * 1024 }, express().use(proxy));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    logged,
    counted: async () => sumOf(await proxy.registry.metrics()),
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function sumOf(metrics: string): number {
  const samples = metrics.matchAll(/^glance_size_proxy_requests_total\{.*\} (\d+)$/gm);
  return Array.from(samples, ([, count]) => Number(count)).reduce((sum, count) => sum + count, 0);
}
