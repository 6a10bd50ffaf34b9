/** Numbers and names as texts of the page. Pure. */
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const ALL_DIGITS = new Intl.NumberFormat("en");
const DATE_TIME = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** Three significant digits, without zeros at the end: `1.21 GiB`, `1.2 GiB`. */
export function formatBytes(bytes: number): string {
  const [value, unit] = scale(bytes);
  return `${Number(unit === 0 ? value.toFixed() : value.toPrecision(3))} ${UNITS[unit]}`;
}

/** As {@link formatBytes}, but always of the same width while the number changes: `1.20 GiB`. */
export function formatSteady(bytes: number): string {
  const [value, unit] = scale(bytes);
  if (unit === 0) return `${value.toFixed()} B`;
  return `${value < 1 ? value.toFixed(2) : value.toPrecision(Math.max(3, value.toFixed().length))} ${UNITS[unit]}`;
}

/** @returns the value in the unit, and the unit's place in {@link UNITS}. */
function scale(bytes: number): [value: number, unit: number] {
  let unit = 0;
  // Three digits: 999.5 would be rounded to 1000.
  while (bytes >= 999.5 && unit < UNITS.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return [bytes, unit];
}

export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

export function formatSteadyRate(bytesPerSecond: number): string {
  return `${formatSteady(bytesPerSecond)}/s`;
}

export function formatCount(count: number): string {
  return ALL_DIGITS.format(count);
}

/** If the sizes differ, shows every digit of both: the difference may be one byte. */
export function formatSize(bytes: number, declaredBytes: number | undefined): string {
  if (declaredBytes === undefined || declaredBytes === bytes) return formatBytes(bytes);
  return `${formatCount(bytes)} of ${formatCount(declaredBytes)} B`;
}

/** The two largest units: `3 h 20 min`. */
export function formatDuration(seconds: number): string {
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  const units = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ] as const;
  const largest = units.findIndex(([count]) => count > 0);
  return units
    .slice(largest, largest + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}

/** As {@link formatDuration}, up to 100 days: a longer estimate has no meaning. */
export function formatTimeLeft(seconds: number): string {
  return seconds > 100 * 86_400 ? "over 100 d" : formatDuration(seconds);
}

/** In the time zone of the browser: `23:59:59`. */
export function formatClock(msSince1970: number): string {
  return CLOCK.format(msSince1970);
}

/** In the time zone of the browser: `1 Jan 2026, 23:59:59`. */
export function formatDateTime(msSince1970: number): string {
  return DATE_TIME.format(msSince1970);
}

/** A name of metrics and logs as words: `size_exceeded` becomes `size exceeded`. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}
