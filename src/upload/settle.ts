/** How an upload ends for everybody: Glance puts the image back, or what it made of it is found out, and the client is answered. */
import type { ServerResponse } from "node:http";
import type { Config } from "../config/schema.js";
import { ProxyError } from "../vocabulary/errors.js";
import type { Answerer } from "../client/answer.js";
import type { Exchange } from "../client/exchange.js";
import { truncatedAnswer } from "../upstream/failures.js";
import { recoverAnswer, type Recovery } from "./recovery.js";
import type { RelayEnd } from "./relay.js";
import type { ReplayMemory } from "./replay-memory.js";
import type { LookUp, Rollback } from "./rollback.js";
import { type Upload } from "./upload.js";
import type { Observers } from "../observe/observers.js";
import type { Begun } from "./break-off.js";

/** What a balancer or uWSGI's router says in Glance's place; Glance itself never does. */
const GATEWAY_STATUSES = new Set([502, 504]);

/** After these a client sends again what it has already read. */
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
  /** The same for an upload of which Glance has not heard. */
  refuse(exchange: Exchange, upload: Upload, error: ProxyError, remark?: string): Promise<void>;
}

export function createSettle({ config, answerer, observers, replays }: SettleOptions): Settle {
  const { metrics, log } = observers;

  return { end: (sent, end) => (end.kind === "answered" ? answered(sent, end) : failed(sent, end)), refuse };

  async function answered(
    sent: Sent,
    { answer, early }: Extract<RelayEnd, { kind: "answered" }>,
  ): Promise<void> {
    const { exchange, upload } = sent;
    const status = answer.statusCode ?? 0;
    if (!early && GATEWAY_STATUSES.has(status) && (await recover(sent))?.result === "success") {
      answer.destroy();
      return succeed(exchange, upload);
    }
    // Before the client reads the answer: its next upload may follow at once.
    if (status < 300) await replays?.forget(upload.replayKey);
    else if (REPLAYED_STATUSES.has(status)) await remember(exchange, upload);
    const relayed = early
      ? await answerer.relayEarly(exchange, answer)
      : await answerer.relay(exchange, answer);
    if (relayed === "truncated") {
      metrics.upstreamError("truncated");
      // Nothing of it was passed on.
      if (canAnswer(exchange.response)) {
        return early ? refuse(exchange, upload, truncatedAnswer()) : recoverOrRefuse(sent, truncatedAnswer());
      }
    }
    upload.settle(status < 300 ? "completed" : "upstream_rejected", { status });
  }

  async function failed(
    sent: Sent,
    { error, begun, whole }: Extract<RelayEnd, { kind: "failed" }>,
  ): Promise<void> {
    const { exchange, upload } = sent;
    if (error.upstreamKind !== undefined) metrics.upstreamError(error.upstreamKind);
    if (whole && begun !== "no") return recoverOrRefuse(sent, error);
    const remark = begun === "no" || !config.rollback.verify ? "" : await rollBack(sent, begun);
    await refuse(exchange, upload, error, remark);
  }

  async function recoverOrRefuse(sent: Sent, error: ProxyError): Promise<void> {
    const { exchange, upload } = sent;
    const recovery = await recover(sent);
    switch (recovery?.result) {
      case "success":
        return succeed(exchange, upload);
      case "queued":
      case undefined:
        return refuse(exchange, upload, error);
      case "unknown":
        return refuse(exchange, upload, unknownEnd(error, recovery?.seen ?? ""));
    }
  }

  /** @returns undefined if Glance may not be asked. */
  async function recover({ upload, lookUp }: Sent): Promise<Recovery | undefined> {
    if (!config.rollback.verify || config.rollback.timeout === 0) return undefined;
    const { imageId, operation } = upload.origin;
    const recovery = await recoverAnswer(
      {
        imageId,
        operation,
        bytes: upload.receivedBytes,
        begunMsAgo: () => upload.elapsedSeconds * 1_000,
        hasRival: () => observers.uploads.hasRival(upload.view().imageId, upload.elapsedSeconds),
      },
      lookUp,
      config.rollback,
    );
    metrics.answerRecovered(recovery.result);
    return recovery;
  }

  async function succeed(exchange: Exchange, upload: Upload): Promise<void> {
    await replays?.forget(upload.replayKey);
    if (canAnswer(exchange.response)) answerer.succeed(exchange);
    upload.settle("completed", { status: 204 });
  }

  async function rollBack({ upload, rollback }: Sent, begun: Begun): Promise<string> {
    const startedAt = performance.now();
    const rolledBack = await rollback.untilBack(begun);
    if (rolledBack === undefined) return "";
    const { result, remark } = rolledBack;
    upload.rollback = result;
    metrics.rollback(result, (performance.now() - startedAt) / 1_000);
    if (result !== "queued" && remark !== "") {
      const { requestId, imageId } = upload.origin;
      log.error({ requestId, imageId, rollback: result, reason: remark.trim() }, "image not rolled back");
    }
    return remark;
  }

  async function refuse(exchange: Exchange, upload: Upload, error: ProxyError, remark = ""): Promise<void> {
    if (error.isReplay) metrics.replayRefused();
    upload.discardFrom(exchange.body);
    if (error.status === 502 || error.code === "client_aborted") await remember(exchange, upload);
    if (canAnswer(exchange.response)) answerer.refuse(exchange, { error, remark });
    else exchange.response.destroy();
    upload.settle(error.outcome, error);
  }

  /** Nothing is exhausted of which nothing was read. But a client goes on reading its file while it is refused. */
  async function remember(exchange: Exchange, upload: Upload): Promise<void> {
    if (replays === undefined) return;
    const note = (): void | Promise<void> => {
      const { declaredBytes, readBytes } = upload;
      if (readBytes === 0) return;
      const isDeclared = declaredBytes !== undefined;
      return replays.remember(upload.replayKey, { bytes: declaredBytes ?? readBytes, isDeclared });
    };
    await note();
    upload.onFirstDiscarded = () => void note();
    if (upload.declaredBytes !== undefined) return;
    exchange.response.once("close", () => void update());

    /** Unless an upload has succeeded meanwhile. */
    async function update(): Promise<void> {
      if ((await replays?.recall(upload.replayKey)) !== undefined) await note();
    }
  }
}

function canAnswer(response: ServerResponse): boolean {
  return !response.headersSent && !response.destroyed && response.socket?.destroyed === false;
}

function unknownEnd(cause: ProxyError, seen: string): ProxyError {
  const what = seen === "" ? "The image status could not be read" : `Glance reports that ${seen}`;
  return new ProxyError(
    "upstream_timeout",
    `The whole image was sent, but no answer came from Glance. ${what}. Check the image before you retry.`,
    { cause },
  );
}
