/** Five hundred uploads at once, on one page. */
import { expect, it } from "vitest";
import { SIZE, useScene } from "../e2e/scene.js";
import { describeWith } from "../support/requirements.js";
import { PHONE, SOON, useBrowser } from "./live-page.js";

const COUNT = 500;

/** In the page: which elements were added or removed in the list over some events, besides those that changed their text. */
const REBUILT = `new Promise((resolve) => {
  const rebuilt = [];
  let changes = 0;
  const watch = new MutationObserver((records) => {
    changes += records.length;
    for (const { type, target, addedNodes, removedNodes } of records) {
      if (type !== "childList") continue;
      for (const node of [...addedNodes, ...removedNodes]) {
        if (node.nodeType === Node.ELEMENT_NODE) rebuilt.push(target.nodeName + " " + node.nodeName);
      }
    }
  });
  const options = { subtree: true, childList: true, characterData: true, attributes: true };
  watch.observe(document.querySelector(".moving tbody"), options);
  const events = new EventSource("events");
  let seen = 0;
  events.onmessage = () => {
    if (++seen < 6) return;
    events.close();
    watch.disconnect();
    resolve({ changes, rebuilt });
  };
})`;

describeWith(["chromium"], "the live page with 500 uploads in flight", () => {
  const scene = useScene();
  const browser = useBrowser();

  it("shows every upload, rewrites only what changed, can be searched, and is usable on a phone", async () => {
    const peers = await Promise.all(
      Array.from({ length: COUNT }, (_, index) =>
        scene.startUpload({ [SIZE]: 10 * COUNT }, `/v2/images/image-${index}/file`),
      ),
    );
    const { page } = await browser.open(scene.proxy.adminPort);
    const rows = page.locator(".moving tbody tr");
    await expect.poll(() => rows.count(), SOON).toBe(COUNT);
    for (const [index, peer] of peers.entries()) peer.sendChunk(Buffer.alloc(10 * index));
    const bar = (index: number) =>
      page.getByRole("progressbar", { name: `Progress of image-${index}`, exact: true });
    for (const index of [100, 250, 499]) {
      await expect
        .poll(() => bar(index).getAttribute("value"), SOON)
        .toBe(String(Math.floor((100 * index) / COUNT)));
    }
    // Each event of the page, one a second, has something new.
    const sending = setInterval(() => {
      for (const peer of peers.slice(0, 400)) peer.sendChunk("x"); // the others have hardly any left to send
    }, 100);
    // 500 rows stay where they are, and only what has changed is written.
    const { changes, rebuilt } = await page.evaluate<{ changes: number; rebuilt: string[] }>(REBUILT);
    expect(changes).toBeGreaterThan(400);
    expect(rebuilt).toEqual([]);
    clearInterval(sending);
    await page.getByRole("searchbox").fill("image-49");
    await expect.poll(() => rows.count(), SOON).toBe(11);
    await page.getByRole("searchbox").fill("");
    // On a phone, several uploads fit on the screen, and the search stays in sight.
    await page.setViewportSize(PHONE);
    await expect.poll(() => rows.count(), SOON).toBe(COUNT);
    await rows.nth(200).scrollIntoViewIfNeeded();
    expect((await rows.nth(200).boundingBox())?.height).toBeLessThan(100);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(PHONE.width);
    expect((await page.getByRole("searchbox").boundingBox())?.y).toBeLessThan(20);
    // Some rows were last drawn in the wide layout. The page ends shortly below the heading, so the jump leads to its very end.
    await page.evaluate("scrollTo(0, 0)");
    await page.getByRole("link", { name: "Finished" }).click();
    const LEFT = "document.documentElement.scrollHeight - innerHeight - Math.ceil(scrollY)";
    await expect.poll(() => page.evaluate<number>(LEFT), SOON).toBeLessThanOrEqual(0);
    expect((await page.locator("#finished").boundingBox())?.y).toBeLessThan(PHONE.height);
    for (const peer of peers) peer.destroy();
    await expect.poll(() => page.locator(".finished tbody tr").count(), SOON).toBe(100);
    await expect.poll(() => rows.count(), SOON).toBe(0);
  });
});
