/**
 * Tells `hooks.url` of each upload that has ended. An upload never waits for it. What cannot be delivered is dropped and counted.
 */
import { randomUUID } from "node:crypto";
import { setImmediate, setTimeout as delay } from "node:timers/promises";
import type { Config } from "../config/config.js";
import type { Observers } from "../observe/observers.js";
import type { UploadView, Viewed } from "../observe/uploads-registry.js";
import { version } from "../vocabulary/version.js";
import type { HookBody } from "./hook-schema.js";
import { readSecrets, signedHeaders } from "./signature.js";

/** Maximum number of requests at the same time. */
const MOST_REQUESTS = 4;

const MAX_BACKOFF_MS = 60_000;

/** How long the end of the process waits for the last deliveries. */
const DRAIN_MS = 5_000;

/** Statuses that may change soon, besides 5xx. */
const RETRIED_STATUSES = new Set([408, 425, 429]);

export interface Hooks {
  /** @returns takes the new configuration over for the next requests. @throws ConfigError if the secret cannot be used. */
  prepareReload(next: Config["hooks"]): () => void;
  /** Resolves when everything is delivered or dropped, within 5 s. Afterwards nothing more is sent. Never rejects. */
  drain(): Promise<void>;
  close(): void;
}

/** `uploads` tells of each upload that ends. */
export type HookObservers = Pick<Observers, "log" | "metrics"> & {
  readonly uploads: { onFinish(listener: (upload: Viewed) => void): void };
};

/** Without `hooks.url` it does nothing. @throws ConfigError if the secret cannot be used. */
export function createHooks(config: Config["hooks"], observers: HookObservers): Hooks {
  const hooks = new QueuedHooks(config, observers);
  observers.uploads.onFinish((upload) => hooks.send(upload));
  observers.metrics.watchHooks(hooks);
  return hooks;
}

/** Where messages go. */
interface Receiver {
  readonly url: URL;
  readonly secrets: readonly Buffer[];
}

function receiverOf({ url, secretFile }: Config["hooks"]): Receiver | undefined {
  return url === undefined || secretFile === undefined
    ? undefined
    : { url, secrets: readSecrets(secretFile) };
}

interface Message {
  readonly id: string;
  readonly body: string;
  readonly upload: UploadView;
}

/** Why a try failed. `isFinal`: another try would fail for the same reason. */
interface Failure {
  readonly reason: string;
  readonly isFinal: boolean;
}

class QueuedHooks implements Hooks {
  #config: Config["hooks"];
  readonly #observers: HookObservers;
  #receiver: Receiver | undefined;
  readonly #waiting: Message[] = [];
  /** Deliveries in progress. */
  #deliveries = 0;
  readonly #end = new AbortController();
  readonly #requests = new Set<AbortController>();
  #onIdle: (() => void) | undefined;
  /** The log has said that messages are dropped. */
  #isDropping = false;

  constructor(config: Config["hooks"], observers: HookObservers) {
    this.#config = config;
    this.#observers = observers;
    this.#receiver = receiverOf(config);
  }

  /** Messages that wait or are being delivered. */
  get queued(): number {
    return this.#waiting.length + this.#deliveries;
  }

  send(finished: Viewed): void {
    if (this.#receiver === undefined) return;
    if (this.#end.signal.aborted) return this.#observers.metrics.hook("dropped");
    const upload = finished.view();
    const timestamp = new Date().toISOString();
    const body: HookBody = { type: "upload.finished", timestamp, data: upload };
    if (this.#waiting.length >= this.#config.queue) this.#dropOldest();
    this.#waiting.push({ id: `msg_${randomUUID()}`, body: JSON.stringify(body), upload });
    if (this.#deliveries < MOST_REQUESTS) void this.#work();
  }

  prepareReload(next: Config["hooks"]): () => void {
    const receiver = receiverOf(next);
    return () => {
      this.#config = next;
      this.#receiver = receiver;
    };
  }

  async drain(): Promise<void> {
    if (this.queued > 0) {
      const idle = new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
      const late = new AbortController();
      await Promise.race([idle, delay(DRAIN_MS, undefined, { signal: late.signal }).catch(() => undefined)]);
      late.abort();
    }
    this.close();
  }

  close(): void {
    if (this.#end.signal.aborted) return;
    const { log, metrics } = this.#observers;
    if (this.queued > 0) log.warn({ hooks: this.queued }, "hooks not delivered before the end");
    this.#waiting.splice(0).forEach(() => metrics.hook("dropped"));
    this.#end.abort();
    for (const request of this.#requests) request.abort();
  }

  #dropOldest(): void {
    const { log, metrics } = this.#observers;
    this.#waiting.shift();
    metrics.hook("dropped");
    if (!this.#isDropping)
      log.warn({ queue: this.#config.queue }, "hooks.queue is full: the oldest hooks are dropped");
    this.#isDropping = true;
  }

  async #work(): Promise<void> {
    this.#deliveries += 1;
    await setImmediate(); // the client's answer is written first
    for (let message = this.#waiting.shift(); message; message = this.#waiting.shift()) {
      await this.#deliver(message);
    }
    this.#deliveries -= 1;
    this.#isDropping = false;
    if (this.#deliveries === 0) this.#onIdle?.();
  }

  async #deliver(message: Message): Promise<void> {
    const { metrics, log } = this.#observers;
    for (let tries = 1; ; tries += 1) {
      const receiver = this.#receiver;
      if (receiver === undefined || this.#end.signal.aborted) return metrics.hook("dropped");
      const failure = await this.#post(message, receiver);
      if (failure === undefined) return metrics.hook("delivered");
      if (this.#end.signal.aborted) return metrics.hook("dropped");
      if (failure.isFinal || tries >= this.#config.tries) {
        const { requestId, imageId } = message.upload;
        metrics.hook("failed");
        log.warn(
          { requestId, imageId, hook: message.id, tries, reason: failure.reason },
          "hook not delivered",
        );
        return;
      }
      metrics.hook("retried");
      await this.#pause(tries);
    }
  }

  /** @returns undefined if the message was accepted. Never rejects. */
  async #post({ id, body }: Message, { url, secrets }: Receiver): Promise<Failure | undefined> {
    const { timeoutMs } = this.#config;
    // Not AbortSignal.any: it keeps each of its signals as long as the longest-lived one.
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    this.#requests.add(abort);
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "user-agent": `glance-size-proxy/${version}`,
          ...signedHeaders(secrets, id, body, new Date()),
        },
        body,
        redirect: "manual",
        signal: abort.signal,
      });
      void response.body?.cancel().catch(() => undefined);
      const { status } = response;
      if (response.ok) return undefined;
      return { reason: `answered ${status}`, isFinal: status < 500 && !RETRIED_STATUSES.has(status) };
    } catch (error) {
      const { message, cause } = error as Error;
      return { reason: cause instanceof Error ? cause.message : message, isFinal: false };
    } finally {
      clearTimeout(timer);
      this.#requests.delete(abort);
    }
  }

  /** Varies, so that many proxies do not return at the same moment. */
  async #pause(tries: number): Promise<void> {
    const longest = Math.min(this.#config.backoffMs * 2 ** (tries - 1), MAX_BACKOFF_MS);
    const signal = this.#end.signal;
    await delay(longest * (0.5 + Math.random() / 2), undefined, { signal, ref: false }).catch(
      () => undefined,
    );
  }
}
