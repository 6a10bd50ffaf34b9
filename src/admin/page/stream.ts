/** Reads the stream of overviews, and opens it again if it is lost. */
import type { OverviewEvent } from "../events.js";
import type { Connection } from "./state.js";

/** The proxy sends an event each second. Without an event for this long, the stream counts as lost. */
const SILENCE_MS = 5_000;
const RETRY_MS = 2_000;

export interface Watcher {
  readonly onEvent: (event: OverviewEvent) => void;
  readonly onConnection: (connection: Connection) => void;
}

/** @returns a function that closes the stream. */
export function watch(url: string, { onEvent, onConnection }: Watcher): () => void {
  let source: EventSource;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function later(act: () => void, ms: number): void {
    clearTimeout(timer);
    timer = setTimeout(act, ms);
  }
  function open(): void {
    source = new EventSource(url);
    source.onmessage = ({ data }: MessageEvent<string>) => {
      later(lose, SILENCE_MS);
      onConnection("live");
      onEvent(JSON.parse(data) as OverviewEvent);
    };
    // A browser does not reconnect after an HTTP error, so this file reconnects in all cases.
    source.onerror = lose;
    later(lose, SILENCE_MS);
  }
  function lose(): void {
    source.close();
    onConnection("lost");
    later(open, RETRY_MS);
  }

  open();
  return () => {
    source.close();
    clearTimeout(timer);
  };
}
