/** The stream of overviews, opened again whenever it is lost. */
import type { OverviewEvent } from "../events.js";
import type { Connection } from "./state.js";

/** An event comes each second; so long without one, and the stream is as good as gone. */
const SILENCE_MS = 5_000;
const RETRY_MS = 2_000;

export interface Watcher {
  readonly onEvent: (event: OverviewEvent) => void;
  readonly onConnection: (connection: Connection) => void;
}

/** @returns ends it. */
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
    // Opened again by ourselves: a browser does not where the answer was an error.
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
