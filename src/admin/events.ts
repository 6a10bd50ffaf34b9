/** The event stream of the live page: an overview each second. Collects nothing while no browser watches. */
import { setTimeout as delay } from "node:timers/promises";
import type { RequestHandler, Response } from "express";
import type { z } from "zod";
import type { Log } from "../observe/log.js";
import type { Overview } from "./overview.js";
import type { eventSchema } from "./overview-schema.js";

const INTERVAL_MS = 1_000;
const MAX_WATCHERS = 100;

/** The data of an event. `finished` is absent if it equals the last one sent to this watcher. */
export type OverviewEvent = z.infer<typeof eventSchema>;

export interface EventsOptions {
  readonly overview: () => Promise<Overview>;
  readonly log: Log;
}

/** Server-sent events. A stream ends only with its connection: the watcher leaves or the server closes. */
export function createEvents({ overview, log }: EventsOptions): RequestHandler {
  /** Each watcher with the `finished` last sent to it. */
  const watchers = new Map<Response, string | undefined>();
  let latest: { readonly current: string; readonly finished: string } | undefined;
  let running = false;

  function send(watcher: Response): void {
    // A slow watcher misses events. Each event is complete, so it misses no state.
    if (latest === undefined || watcher.writableNeedDrain) return;
    const { current, finished } = latest;
    const news = watchers.get(watcher) === finished ? "" : `,"finished":${finished}`;
    watcher.write(`data: ${current.slice(0, -1)}${news}}\n\n`);
    watchers.set(watcher, finished);
  }

  function drop(watcher: Response | undefined): void {
    if (watcher === undefined) return;
    watchers.delete(watcher);
    watcher.destroy();
  }

  async function run(): Promise<void> {
    running = true;
    try {
      while (watchers.size > 0) {
        const { finished, ...current } = await overview();
        latest = { current: JSON.stringify(current), finished: JSON.stringify(finished) };
        for (const watcher of watchers.keys()) send(watcher);
        await delay(INTERVAL_MS, undefined, { ref: false });
      }
    } catch (error) {
      log.error({ reason: (error as Error).message }, "cannot collect the data of the live page");
      for (const watcher of watchers.keys()) watcher.destroy();
    } finally {
      running = false;
      latest = undefined;
    }
  }

  return ({ socket }, response) => {
    if (watchers.size >= MAX_WATCHERS) drop(oldestOfLargestPeer([...watchers.keys()]));
    response.writeHead(200, {
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-store",
      "X-Accel-Buffering": "no", // otherwise nginx holds events until they fill a buffer
    });
    response.flushHeaders();
    watchers.set(response, undefined);
    const leave = (): void => {
      watchers.delete(response);
      socket.off("close", leave);
    };
    response.once("close", leave);
    socket.once("close", leave); // a pipelined response that waits for its turn is not closed
    if (running) send(response);
    else void run();
  };
}

/**
 * The watcher that a newcomer replaces if all places are taken. The page of a browser connects again, a silent watcher does not. So
 * silent ones lose their places, and those of one address lose them first.
 */
function oldestOfLargestPeer(watchers: readonly Response[]): Response | undefined {
  const peers = watchers.map(({ req }) => req.socket.remoteAddress);
  const counts = new Map<string | undefined, number>();
  for (const peer of peers) counts.set(peer, (counts.get(peer) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return watchers.find((_, index) => counts.get(peers[index]) === most);
}
