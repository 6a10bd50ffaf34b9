/**
 * Writes docs/page-*.webp: the live page of the demo, in light and in dark, on a desktop and on a phone, and an opened row.
 * Needs Chromium's headless shell: `npm run screenshots`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { chromium } from "playwright-core";

/** Until the plot has a shape and some uploads of the demo have ended. */
const SHOWN_FOR_MS = 50_000;
const DESKTOP = { viewport: { width: 1280, height: 860 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 };

const demo = spawn(process.execPath, ["dist/cli.js", "demo"], { stdio: ["ignore", "pipe", "inherit"] });
const exited = once(demo, "exit");
let url = "";
for await (const line of createInterface({ input: demo.stdout })) {
  url = /^Live page: (http.*)$/.exec(line)?.[1] ?? url;
  if (line.startsWith("Press Ctrl-C")) break;
}

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium-headless-shell",
  args: ["--no-sandbox"],
});
try {
  const pages = [];
  for (const colorScheme of ["light", "dark"]) {
    const desktop = await browser.newPage({ ...DESKTOP, colorScheme });
    const phone = await browser.newPage({ ...PHONE, colorScheme });
    for (const page of [desktop, phone]) await page.goto(url);
    pages.push({ colorScheme, desktop, phone });
  }
  await delay(SHOWN_FOR_MS);
  for (const { colorScheme, desktop, phone } of pages) {
    await save(desktop, `page-${colorScheme}`);
    // Of an upload that was sent and refused, the phases and the roll-back are the most interesting.
    const refused = (page) => page.locator(".finished tr", { hasText: "size mismatch" }).first();
    await refused(desktop).getByRole("button").click();
    await desktop.mouse.move(0, 0); // no row is under the mouse
    await desktop.locator("#finished").evaluate((heading) => heading.scrollIntoView());
    await save(desktop, `page-row-${colorScheme}`);
    await phone.getByRole("link", { name: "In flight" }).click();
    await save(phone, `page-phone-${colorScheme}`);
  }
} finally {
  await browser.close();
  demo.kill("SIGINT");
  await exited;
}

/** Playwright writes no WebP, but Chromium does: a third of the size of PNG. */
async function save(page, name) {
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality: 88 });
  await writeFile(`docs/${name}.webp`, Buffer.from(data, "base64"));
}
