/** What the browser's tab says: a title, and an icon for the state. Pure. */
import { formatCount, formatSteadyRate } from "./format.js";
import type { State } from "./state.js";

export interface Tab {
  readonly title: string;
  readonly icon: "idle" | "active" | "warning" | "bad";
}

/** A tab has room for few words, so the most important ones come first. */
export function tabOf({ tone, name }: State, inFlight: number, bytesPerSecond: number): Tab {
  const isBusy = inFlight > 0 && tone !== "bad";
  const uploads = inFlight === 1 ? "1 upload" : `${formatCount(inFlight)} uploads`;
  const icons = { quiet: "idle", good: isBusy ? "active" : "idle", warning: "warning", bad: "bad" } as const;
  return {
    title: isBusy
      ? `${uploads} · ${formatSteadyRate(bytesPerSecond)}`
      : name.replace(/^Glance /, "Glance is "),
    icon: icons[tone],
  };
}
