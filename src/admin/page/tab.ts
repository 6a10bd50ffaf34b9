/** What the browser's tab shows: a title, and an icon for the state. Pure, but for {@link showTab}. */
import active from "./icon-active.svg";
import bad from "./icon-bad.svg";
import idle from "./icon.svg";
import warning from "./icon-warning.svg";
import { formatCount, formatSteadyRate } from "./format.js";
import type { State } from "./state.js";

export interface Tab {
  readonly title: string;
  readonly icon: "idle" | "active" | "warning" | "bad";
}

const ICONS = { idle, active, warning, bad } satisfies Record<Tab["icon"], string>;

/** A tab has room for few words, so the most important ones come first. */
export function tabOf({ tone, name }: State, inFlight: number, bytesPerSecond: number): Tab {
  const isBusy = inFlight > 0 && tone !== "bad";
  const uploads = inFlight === 1 ? "1 upload" : `${formatCount(inFlight)} uploads`;
  const icon = { quiet: "idle", good: isBusy ? "active" : "idle", warning: "warning", bad: "bad" } as const;
  return {
    title: isBusy
      ? `${uploads} · ${formatSteadyRate(bytesPerSecond)}`
      : name.replace(/^Glance /, "Glance is "),
    icon: icon[tone],
  };
}

export function showTab({ title, icon }: Tab): void {
  document.title = `${title} – glance-size-proxy`;
  const link = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  if (link && link.href !== ICONS[icon]) link.href = ICONS[icon];
}
