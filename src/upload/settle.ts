/** Ends an upload: waits for the rollback or finds out the result, answers the client, and settles the record. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Answerer } from "../client/answer.js";
import { type Exchange, statusSent } from "../client/exchange.js";
import type { Config } from "../config/config.js";
import { REQUEST_ID_HEADER } from "../http/request-id.js";
import type { Observers } from "../observe/observers.js";
import { truncatedAnswer } from "../upstream/failures.js";
import { LOOK_UP_TIMEOUT_MS } from "../upstream/look-up.js";
import { ProxyError } from "../vocabulary/errors.js";
import type { Begun } from "./break-off.js";
import { recoverAnswer, type Recovery } from "./recovery.js";
import type { RelayEnd } from "./relay-plan.js";
import type { ReplayMemory } from "./replay-memory.js";
import type { LookUp, Rollback } from "./rollback.js";
import { type Upload } from "./upload.js";

/** Statuses of load balancers and of uWSGI's router. Glance itself never sends them. */
const GATEWAY_STATUSES = new Set([502, 504]);

/** After these statuses, clients retry without rewinding their file. */
const REPLAYED_STATUSES = new Set([401, 502, 503]);

export interface SettleOptions {
  readonly config: Config;
  readonly answerer: Answerer;
  readonly observers: Observers;
  /** Absent if `replay.guard` is false. */
  readonly replays: ReplayMemory | undefined;
}

export interface Sent {
  readonly exchange: Exchange;
  readonly upload: Upload;
  readonly lookUp: LookUp;
  readonly rollback: Rollback;
}

export interface Settle {
  /** Answers the client, and settles the upload. */
  end(sent: Sent, end: RelayEnd): Promise<void>;
  /** Refuses an upload that was not sent to Glance. */
  refuse(exchange: Exchange, upload: Upload, error: ProxyError, remark?: string): Promise<void>;
}

export function createSettle(options: SettleOptions): Settle {
  return new Settlement(options);
}

class Settlement implements Settle {
  readonly #config: Config;
  readonly #answerer: Answerer;
  readonly #observers: Observers;
  readonly #replays: ReplayMemory | undefined;

  constructor({ config, answerer, observers, replays }: SettleOptions) {
    this.#config = config;
    this.#answerer = answerer;
    this.#observers = observers;
    this.#replays = replays;
  }

  end(sent: Sent, end: RelayEnd): Promise<void> {
    return end.kind === "answered" ? this.#answered(sent, end) : this.#failed(sent, end);
  }

  async #answered(sent: Sent, end: Extract<RelayEnd, { kind: "answered" }>): Promise<void> {
    const { exchange, upload } = sent;
    const { answer, early } = end;
    const status = answer.statusCode ?? 0;
    upload.glanceRequestId = glanceRequestIdOf(answer);
    upload.lastByteToAnswer = end.lastByteToAnswer;
    if (!early && GATEWAY_STATUSES.has(status) && (await this.#recover(sent))?.result === "success") {
      answer.destroy();
      return this.#succeed(sent);
    }
    // Done before the client gets the answer, because its next upload may follow at once.
    const forgotten = status < 300 ? await this.#replays?.forget(upload) : undefined;
    if (REPLAYED_STATUSES.has(status)) await this.#remember(exchange, upload);
    upload.waits.switchTo("glance");
    const relayed = early
      ? await this.#answerer.relayEarly(exchange, answer)
      : await this.#answerer.relay(exchange, answer, upload.waits);
    if (relayed === "truncated") {
      this.#observers.metrics.upstreamError("truncated");
      // The client has received nothing yet.
      if (canAnswer(exchange.response)) {
        if (forgotten) await this.#replays?.remember(upload, forgotten);
        return early
          ? this.refuse(exchange, upload, truncatedAnswer())
          : this.#recoverOrRefuse(sent, truncatedAnswer());
      }
    }
    if (status < 300) this.#complete(sent);
    else upload.settle("upstream_rejected", statusSent(exchange.response));
  }

  /** The client has its answer. */
  #complete({ exchange, upload, lookUp }: Sent): void {
    const asksOwner = this.#config.log.owner && upload.owner === undefined;
    const isKnown = asksOwner ? lookUp(LOOK_UP_TIMEOUT_MS) : undefined;
    upload.settle("completed", statusSent(exchange.response), undefined, isKnown);
  }

  async #failed(sent: Sent, { error, begun, whole }: Extract<RelayEnd, { kind: "failed" }>): Promise<void> {
    const { exchange, upload } = sent;
    if (error.upstreamKind !== undefined) this.#observers.metrics.upstreamError(error.upstreamKind);
    if (whole && begun !== "no") return this.#recoverOrRefuse(sent, error);
    const remark = begun === "no" || !this.#config.rollback.verify ? "" : await this.#rollBack(sent, begun);
    await this.refuse(exchange, upload, error, remark);
  }

  async #recoverOrRefuse(sent: Sent, error: ProxyError): Promise<void> {
    const { exchange, upload } = sent;
    const recovery = await this.#recover(sent);
    switch (recovery?.result) {
      case "success":
        return this.#succeed(sent);
      case "queued":
      case undefined:
        return this.refuse(exchange, upload, error);
      case "unknown":
        return this.refuse(exchange, upload, unknownEnd(error, recovery?.seen ?? ""));
    }
  }

  /** @returns undefined if `rollback.verify` is off. */
  async #recover({ upload, lookUp }: Sent): Promise<Recovery | undefined> {
    const { rollback } = this.#config;
    if (!rollback.verify || rollback.timeoutMs === 0) return undefined;
    const { imageId, operation } = upload.origin;
    upload.waits.switchTo("glance");
    upload.trace?.enter("recovery");
    const recovery = await recoverAnswer(
      {
        imageId,
        operation,
        bytes: upload.receivedBytes,
        begunMsAgo: () => upload.elapsedSeconds * 1_000,
        hasRival: () => this.#observers.uploads.hasRival(upload.view().imageId, upload.elapsedSeconds),
      },
      lookUp,
      rollback,
    );
    upload.waits.switchTo(undefined);
    upload.trace?.leave({ "glance_size_proxy.recovery": recovery.result });
    this.#observers.metrics.answerRecovered(recovery.result);
    return recovery;
  }

  async #succeed(sent: Sent): Promise<void> {
    const { exchange, upload } = sent;
    await this.#replays?.forget(upload);
    if (canAnswer(exchange.response)) this.#answerer.succeed(exchange);
    this.#complete(sent);
  }

  async #rollBack({ upload, rollback }: Sent, begun: Begun): Promise<string> {
    const startedAt = performance.now();
    upload.waits.switchTo("rollback");
    upload.trace?.enter("rollback");
    const rolledBack = await rollback.untilBack(begun);
    upload.trace?.leave({ "glance_size_proxy.rollback": rolledBack?.result });
    upload.waits.switchTo(undefined);
    if (rolledBack === undefined) return "";
    const { result, remark } = rolledBack;
    upload.rollback = result;
    this.#observers.metrics.rollback(result, (performance.now() - startedAt) / 1_000);
    if (result !== "queued" && remark !== "") {
      const { requestId, imageId } = upload.origin;
      this.#observers.log.error(
        { requestId, imageId, rollback: result, reason: remark.trim() },
        "image not rolled back",
      );
    }
    return remark;
  }

  async refuse(exchange: Exchange, upload: Upload, error: ProxyError, remark = ""): Promise<void> {
    if (error.isReplay) this.#observers.metrics.replayRefused();
    upload.discardFrom(exchange.body);
    if (error.status === 502 || error.code === "client_aborted") await this.#remember(exchange, upload);
    if (canAnswer(exchange.response)) this.#answerer.refuse(exchange, { error, remark });
    else exchange.response.destroy();
    upload.settle(error.outcome, statusSent(exchange.response), error);
  }

  /** Only an upload of which bytes were read can be retried without rewinding. A refused client may still read its file for a while. */
  async #remember(exchange: Exchange, upload: Upload): Promise<void> {
    const replays = this.#replays;
    if (replays === undefined) return;
    const note = (): void | Promise<void> => {
      const { declaredBytes, readBytes } = upload;
      if (readBytes === 0) return;
      const isDeclared = declaredBytes !== undefined;
      return replays.remember(upload, { bytes: declaredBytes ?? readBytes, isDeclared });
    };
    /** Not if an upload has succeeded meanwhile. */
    const update = async (): Promise<void> => {
      if ((await replays.recall(upload)) !== undefined) await note();
    };
    await note();
    upload.onFirstDiscarded = () => void note();
    if (upload.declaredBytes === undefined) exchange.response.once("close", () => void update());
  }
}

function canAnswer(response: ServerResponse): boolean {
  return !response.headersSent && !response.destroyed && response.socket?.destroyed === false;
}

function glanceRequestIdOf({ headers }: IncomingMessage): string | undefined {
  const id = headers[REQUEST_ID_HEADER];
  return typeof id === "string" ? id : undefined; // Node joins repeated lines of this header
}

function unknownEnd(cause: ProxyError, seen: string): ProxyError {
  const what = seen === "" ? "The image status could not be read" : `Glance reports that ${seen}`;
  return new ProxyError(
    "upstream_timeout",
    `The whole image was sent, but no answer came from Glance. ${what}. Check the image before you retry.`,
    { cause },
  );
}
