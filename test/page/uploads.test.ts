/** Real uploads, as the live page shows them in a real browser. */
import type { Locator } from "playwright-core";
import { expect, it } from "vitest";
import { CHUNKED, FILE, SIZE, STAGE, useScene } from "../e2e/scene.js";
import { request } from "../support/raw-http.js";
import { accept, answerEarly } from "../support/recording-upstream.js";
import { describeWith } from "../support/requirements.js";
import { PHONE, SOON, useBrowser } from "./live-page.js";

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
    await expect.poll(() => page.title()).toMatch(/^1 upload · .* – glance-size-proxy$/);
    peer.sendChunk(Buffer.alloc(100 * KIB)).endChunks();
    await peer.response();
    const ended = page.getByRole("table", { name: "Recently finished uploads" }).getByRole("row");
    await soon(ended.nth(1)).toMatch(
      /^completed\s+204\s+one\s+req-.*\s+curl\s+header\s+400 KiB\s+\d.* m?s\s+\d\d:\d\d:\d\d$/,
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
      await soon(page.locator(".moving .left")).toMatch(/^\d min \d+ s\s*$/);
    } finally {
      clearInterval(send);
    }
  });

  it("shows the bytes so far, but no time left, if the size is unknown", async () => {
    const peer = await scene.startUpload({}, STAGE);
    peer.sendChunk(Buffer.alloc(10 * KIB));
    const page = await open();
    await soon(page.locator(".moving tbody tr")).toMatch(
      /stage, req-.*\s+unknown\s+10\.0 KiB so far\s.*\sunknown\s*$/s,
    );
    const bar = page.getByRole("progressbar");
    expect([await bar.count(), await bar.getAttribute("value")]).toEqual([1, null]);
  });

  it("marks uploads that are stalled or finishing, and says for whom they wait", async () => {
    scene.upstream.onUpload = () => undefined;
    const still = await scene.startUpload({ [SIZE]: 100 }, "/v2/images/still/file");
    still.sendChunk("x");
    const whole = await scene.startUpload({ [SIZE]: 5 }, "/v2/images/whole/file");
    whole.sendChunk("hello").endChunks();
    const page = await open();
    const row = (image: string) => page.locator(".moving tbody tr", { hasText: image });
    await soon(row("whole")).toMatch(/100 %.*finishing\s+waits for Glance$/s);
    await soon(row("still")).toMatch(/1 %.*0 B\/s\s+stalled\s+waits for client$/s);
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

  it("opens a row by keyboard: why the upload was refused, whose it is, its ids, and its phases", async () => {
    const page = await open();
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const mine = "req-4f6a2c1e-0000-4000-8000-0123456789ab";
    await request(scene.proxy.port, "PUT", FILE, {
      body: "hello",
      headers: {
        [SIZE]: "8M",
        "User-Agent": "curl/8.1",
        "X-Openstack-Request-Id": mine,
        Traceparent: traceparent,
      },
    });
    const row = page.locator(".finished tbody tr");
    await soon(row).toMatch(/^invalid size\s+400/);
    const opener = page.getByRole("button", { name: "one" });
    expect(await opener.getAttribute("aria-expanded")).toBe("false");
    await opener.focus();
    await page.keyboard.press("Enter");
    await soon(row.nth(1)).toMatch(/^client sends \d+ ms\s+Glance reads 0 ms\s+Glance answers 0 ms/);
    const facts = await row.nth(1).locator(".facts > div").allInnerTexts();
    expect(Object.fromEntries(facts.map((fact) => fact.split("\n", 2)))).toMatchObject({
      Outcome: "invalid size",
      "Answer to the client": "400",
      Reason: "Invalid or missing image size in request headers.",
      "Announced size": expect.stringMatching(/x-openstack-image-size.*8M/) as string,
      Client: "curl",
      "User agent": "curl/8.1",
      Peer: "127.0.0.1",
      Request: mine,
      "Glance's request": "none",
      "Client's request": mine,
      traceparent,
    });
    const controlled = await opener.getAttribute("aria-controls");
    expect(await page.locator(`[id="${controlled}"]`).count()).toBe(1);
    for (const search of [mine.slice(8, 30), traceparent.slice(5, 20), "127.0.0.1 CURL", "invalid size"]) {
      await page.getByRole("searchbox").fill(search);
      await soon(page.locator("#finished")).toBe("Recently finished 1");
    }
    await page.getByRole("searchbox").fill("openstacksdk");
    await soon(page.locator("#finished")).toBe("Recently finished 0 of 1");
    await page.getByRole("searchbox").fill("");
    await opener.click();
    await expect.poll(() => row.count()).toBe(1);
  });

  it("says which rule decided about an upload of unknown size", async () => {
    const ruled = await scene.startAnother({
      size: { unknown: "reject", rules: [{ client: ["curl"], unknown: "forward" }] },
    });
    const { page } = await browser.open(ruled.adminPort);
    const rows = page.locator(".finished tbody tr");
    for (const userAgent of ["curl/8.1", "Go-http-client/1.1"]) {
      await request(ruled.port, "PUT", FILE, {
        headers: { ...CHUNKED, "User-Agent": userAgent },
        body: "0\r\n\r\n",
      });
    }
    await soon(rows).toMatch(/^length required[^|]* \| completed/);
    for (const [row, rule] of ["size.unknown", "size.rules[0]"].entries()) {
      await rows.nth(row).locator(".opener").click();
      await soon(page.locator(".opened")).toContain(`Rule for unknown sizes\n${rule}`);
      await rows.nth(row).locator(".opener").click();
    }
  });

  it("keeps a row open when its upload finishes, and shows the state of the image", async () => {
    const page = await open();
    const peer = await scene.startUpload({ [SIZE]: 4 });
    await scene.uploadUpstream();
    await page.locator(".moving .opener").click();
    await soon(page.locator(".opened")).toContain("none yet");
    peer.sendChunk("hello");
    await soon(page.locator(".finished .opened")).toMatch(/Image afterwards\s+(queued again|unknown)/);
    await soon(page.locator(".finished .opened")).toContain("Size exceeds: expected 4 bytes, got 5 bytes");
    expect(await page.locator(".finished .opener").getAttribute("title")).toBe(
      "Size exceeds: expected 4 bytes, got 5 bytes",
    );
  });

  it("changes the height of no row and no total while figures change, on a phone and on a desktop", async () => {
    const page = await open();
    const heights = async () => {
      const seen: unknown[] = [];
      for (const viewport of [PHONE, { width: 1280, height: 900 }]) {
        await page.setViewportSize(viewport);
        seen.push(
          await page
            .locator(".moving tbody tr, .totals > div")
            .evaluateAll((all) => all.map((one) => (one as unknown as Box).getBoundingClientRect().height)),
        );
      }
      return seen;
    };
    const row = page.locator(".moving tbody tr");
    const peer = await scene.startUpload({ [SIZE]: 2 ** 30 });
    await soon(row).toContain("0 B of 1 GiB");
    const before = await heights();
    peer.sendChunk(Buffer.alloc(3000 * KIB));
    await soon(row).toMatch(/\d (h|min|s)\s*$/);
    expect(await heights(), "moving").toEqual(before);
    await soon(row).toMatch(/stalled\s+waits for client$/);
    expect(await heights(), "stalled").toEqual(before);
    for (const declared of ["4", "6", "5x"])
      await request(scene.proxy.port, "PUT", FILE, { body: "hello", headers: { [SIZE]: declared } });
    await soon(page.locator(".totals .refused")).toContain("1 size mismatch");
    expect(await heights(), "totals").toEqual(before);
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

  it("can be searched and ordered by keyboard", async () => {
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
    await soon(page.locator(".empty").first()).toBe("No upload in flight matches the search.");
    await page.keyboard.press("Control+A");
    await page.keyboard.press("Delete");
    const focused = () => page.locator(":focus").innerText();
    for (const expected of ["In flight", "Finished"]) {
      await page.keyboard.press("Tab");
      expect(await focused()).toBe(expected);
    }
    await page.keyboard.press("Tab");
    await page.keyboard.type("newest");
    await soon(page.locator(".moving code")).toBe("second | first");
    for (const expected of [/^second\s+req-/, /^first\s+req-/, /^Metrics$/]) {
      await page.keyboard.press("Tab");
      expect(await focused()).toMatch(expected);
    }
  });
});

/** As much of the DOM as is needed; the tests have Node's types only. */
interface Box {
  getBoundingClientRect(): { readonly height: number };
}
interface Canvas {
  readonly width: number;
  readonly height: number;
  getContext(kind: "2d"): {
    getImageData(x: number, y: number, width: number, height: number): { readonly data: Uint8ClampedArray };
  };
}
