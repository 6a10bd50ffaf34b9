/** Writes docs/page.png: the live page of the demo, with two uploads in flight. Needs Chromium: `node scripts/screenshot.mjs`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { chromium } from "playwright-core";

const SHOWN_FOR_MS = 45_000;
const TICK_MS = 100;

const demo = spawn(process.execPath, ["dist/cli.js", "demo"], { stdio: ["ignore", "pipe", "inherit"] });
const found = {};
for await (const line of createInterface({ input: demo.stdout })) {
  const [, name, url] = /^(glance-size-proxy|Live page).*?(http:\S+)/.exec(line) ?? [];
  if (name) found[name] = url;
  if (found["Live page"]) break;
}

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const page = await browser.newPage({ colorScheme: "light", viewport: { width: 1280, height: 800 } });
  await page.goto(found["Live page"]);
  const proxy = found["glance-size-proxy"];
  const uploads = [
    await begin(proxy, "openstacksdk/4.5.0", { "x-openstack-image-size": String(2 ** 29) }, 600_000),
    await begin(proxy, "python-glanceclient", {}, 350_000),
  ];
  await delay(SHOWN_FOR_MS);
  await page.screenshot({ path: "docs/page.png" });
  for (const stop of uploads) stop();
} finally {
  await browser.close();
  const exited = once(demo, "exit");
  demo.kill("SIGKILL");
  await exited;
}

/** Begins a slow upload to a new image. */
async function begin(proxy, userAgent, headers, bytesPerTick) {
  const created = await fetch(`${proxy}/v2/images`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "snapshot", disk_format: "raw", container_format: "bare" }),
  });
  const { id } = await created.json();
  const outgoing = request(`${proxy}/v2/images/${id}/file`, {
    method: "PUT",
    headers: { "content-type": "application/octet-stream", "user-agent": userAgent, ...headers },
  });
  outgoing.on("error", () => undefined);
  const timer = setInterval(
    () => outgoing.write(Buffer.alloc(Math.round(bytesPerTick * (0.7 + 0.6 * Math.random())))),
    TICK_MS,
  );
  return () => {
    clearInterval(timer);
    outgoing.destroy();
  };
}
