/** Real uploads, as the live page shows them in a real browser. */
import type { Locator } from "playwright-core";
import { expect, it } from "vitest";
import { FILE, SIZE, STAGE, useScene } from "../e2e/scene.js";
import { request } from "../support/raw-http.js";
import { accept, answerEarly } from "../support/recording-upstream.js";
import { describeWith } from "../support/requirements.js";
import { SOON, useBrowser } from "./live-page.js";

const KIB = 1024;

describeWith(["chromium"], "the live page", () => {
  const scene = useScene();
  const browser = useBrowser();
  const open = async () => (await browser.open(scene.proxy.adminPort)).page;

  function soon(locator: Locator) {
    return expect.poll(async () => (await locator.allInnerTexts()).join(" | "), SOON);
  }

  it("moves the bar of an upload, and shows its outcome", async () => {
    const page = await open();
    const moving = page.getByRole("table", { name: "Uploads in flight" }).getByRole("row");
    const bar = page.getByRole("progressbar", { name: "Progress of one" });
    const peer = await scene.startUpload({ [SIZE]: 400 * KIB, "User-Agent": "curl/8.1" });
    peer.sendChunk(Buffer.alloc(100 * KIB));
    await expect.poll(() => bar.getAttribute("value"), SOON).toBe("25");
    await soon(moving.nth(1)).toMatch(/^one\s+req-.*\s+curl\s+header\s+100 KiB of 400 KiB, 25 %\s/);
    peer.sendChunk(Buffer.alloc(200 * KIB));
    await expect.poll(() => bar.getAttribute("value"), SOON).toBe("75");
    await expect.poll(() => page.title()).toBe("1 in flight – glance-size-proxy");
    peer.sendChunk(Buffer.alloc(100 * KIB)).endChunks();
    await peer.response();
    const ended = page.getByRole("table", { name: "Recently finished uploads" }).getByRole("row");
    await soon(ended.nth(1)).toMatch(
      /^completed\s+one\s+req-.*\s+curl\s+header\s+400 KiB\s+\d.* s\s+\d\d:\d\d:\d\d$/,
    );
    expect(await bar.count()).toBe(0);
  });

  it("shows the rate of an upload, and the time left", async () => {
    const page = await open();
    const peer = await scene.startUpload({ [SIZE]: 100 * KIB * KIB });
    // The rate is what is shown: 500 KiB a second.
    const send = setInterval(() => peer.sendChunk(Buffer.alloc(50 * KIB)), 100);
    try {
      await soon(page.locator(".moving .rate")).toMatch(/^\d{3} KiB\/s$/);
      await soon(page.locator(".moving .left")).toMatch(/^\d min \d+ s$/);
    } finally {
      clearInterval(send);
    }
  });

  it("shows the bytes so far, but no time left, if the size is unknown", async () => {
    const peer = await scene.startUpload({}, STAGE);
    peer.sendChunk(Buffer.alloc(10 * KIB));
    const page = await open();
    await soon(page.locator(".moving tbody tr")).toMatch(
      /stage, req-.*\s+unknown\s+10 KiB so far\s.*\sunknown$/s,
    );
    const bar = page.getByRole("progressbar");
    expect([await bar.count(), await bar.getAttribute("value")]).toEqual([1, null]);
  });

  it("marks uploads that are stalled, and uploads that wait for Glance", async () => {
    scene.upstream.onUpload = () => undefined;
    const still = await scene.startUpload({ [SIZE]: 100 }, "/v2/images/still/file");
    still.sendChunk("x");
    const whole = await scene.startUpload({ [SIZE]: 5 }, "/v2/images/whole/file");
    whole.sendChunk("hello").endChunks();
    const page = await open();
    const row = (image: string) => page.locator(".moving tbody tr", { hasText: image });
    await soon(row("whole")).toMatch(/100 %.*finishing$/s);
    await soon(row("still")).toMatch(/1 %.*0 B\/s\s+stalled$/s);
  });

  it("shows every outcome as words, and their totals", async () => {
    const page = await open();
    await request(scene.proxy.port, "PUT", FILE, { body: "hello" });
    await request(scene.proxy.port, "PUT", FILE, { body: "hello", headers: { [SIZE]: 4 } });
    await request(scene.proxy.port, "PUT", FILE, { body: "hello", headers: { [SIZE]: "many" } });
    scene.upstream.onUpload = answerEarly(403, "no");
    await request(scene.proxy.port, "PUT", FILE, { body: "hello" });
    scene.upstream.onUpload = accept;
    const peer = await scene.startUpload({ [SIZE]: 5 });
    await expect.poll(() => scene.upstream.uploads.length).toBe(3);
    peer.destroy();
    await soon(page.locator(".finished .verdict")).toBe(
      "client aborted | upstream rejected | invalid size | size exceeded | completed",
    );
    await soon(page.locator(".finished .is-failed")).toBe("client aborted");
    await soon(page.locator(".finished .is-completed")).toBe("completed");
    await soon(page.locator(".finished .size").nth(3)).toBe("0 of 4 B");
    const totals = page.locator(".totals > div");
    await soon(totals.nth(3)).toMatch(/^Completed\s+1$/);
    await soon(totals.nth(4)).toMatch(/^Refused\s+3\s+1 size exceeded, 1 invalid size, 1 upstream rejected$/);
    await soon(totals.nth(5)).toMatch(/^Failed\s+1\s+1 client aborted$/);
  });

  it("draws the throughput, and describes it in text", async () => {
    const page = await open();
    const plot = page.getByRole("img", {
      name: /^Throughput plot\. Now: 0 B\/s from clients, 0 B\/s to Glance$/,
    });
    await plot.waitFor();
    const peer = await scene.startUpload({ [SIZE]: KIB ** 3 });
    // The rate is what is shown: 5 MiB a second.
    const send = setInterval(() => peer.sendChunk(Buffer.alloc(500 * KIB)), 100);
    try {
      await page
        .getByRole("img", {
          name: /^Throughput plot\. Now: \S+ [KM]iB\/s from clients, \S+ [KM]iB\/s to Glance$/,
        })
        .waitFor();
      // The colour of the line to Glance, on the canvas.
      await expect
        .poll(
          () =>
            page.locator("canvas").evaluate((element) => {
              const canvas = element as unknown as Canvas;
              const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
              let pixels = 0;
              for (let at = 0; at < data.length; at += 4) {
                if (data[at] === 0x0a && data[at + 1] === 0x7a && data[at + 2] === 0x70) pixels += 1;
              }
              return pixels;
            }),
          SOON,
        )
        .toBeGreaterThan(50);
    } finally {
      clearInterval(send);
    }
  });

  it("shows markup from clients as text", async () => {
    const page = await open();
    const peer = await scene.startUpload(
      { [SIZE]: 5 },
      "/v2/images/%3Cimg%20src=x%20onerror=alert(1)%3E/file",
    );
    await soon(page.locator(".moving code")).toBe("<img src=x onerror=alert(1)>");
    expect(await page.locator("td img").count()).toBe(0);
    peer.destroy();
  });

  it("can be filtered and ordered by keyboard", async () => {
    const one = await scene.startUpload({ [SIZE]: 50, "User-Agent": "curl/8.1" }, "/v2/images/first/file");
    await scene.uploadUpstream();
    await scene.startUpload({ [SIZE]: 50 }, "/v2/images/second/file");
    one.sendChunk("hello");
    const page = await open();
    await soon(page.locator(".moving code")).toBe("first | second");
    await page.keyboard.press("Tab");
    await page.keyboard.type("CURL");
    await soon(page.locator(".moving code")).toBe("first");
    await soon(page.locator("#in-flight")).toBe("In flight 1 of 2");
    await page.keyboard.press("Control+A");
    await page.keyboard.type("nothing of that");
    await soon(page.locator(".empty").first()).toBe("No upload in flight matches the filter.");
    await page.keyboard.press("Control+A");
    await page.keyboard.press("Delete");
    await page.keyboard.press("Tab");
    await page.keyboard.type("newest");
    await soon(page.locator(".moving code")).toBe("second | first");
    // What stands after it are the links.
    await page.keyboard.press("Tab");
    expect(await page.locator(":focus").innerText()).toBe("Metrics");
  });
});

/** As much of the DOM as is needed; the tests have Node's types only. */
interface Canvas {
  readonly width: number;
  readonly height: number;
  getContext(kind: "2d"): {
    getImageData(x: number, y: number, width: number, height: number): { readonly data: Uint8ClampedArray };
  };
}
