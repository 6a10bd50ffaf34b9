/** Shows title and icon in the browser's tab. */
import idle from "./icon.svg";
import active from "./icon-active.svg";
import bad from "./icon-bad.svg";
import warning from "./icon-warning.svg";
import type { Tab } from "./tab.js";

const ICONS = { idle, active, warning, bad } satisfies Record<Tab["icon"], string>;

export function showTab({ title, icon }: Tab): void {
  document.title = `${title} – glance-size-proxy`;
  const link = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  if (link && link.href !== ICONS[icon]) link.href = ICONS[icon];
}
