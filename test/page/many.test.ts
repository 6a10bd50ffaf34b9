/** Five hundred uploads at once, on one page. */
import { expect, test } from "vitest";
import { describeWith } from "../support/requirements.js";
import { SIZE, useScene } from "../e2e/scene.js";
import { SOON, useBrowser } from "./live-page.js";

const COUNT = 500;

/** In the page: the fewest frames that it painted from one event to the next, a second later, over some seconds. */
const FEWEST_FRAMES = `new Promise((resolve) => {
  const seen = [];
  let frames = 0;
  const paint = () => { frames += 1; requestAnimationFrame(paint); };
  paint();
  const events = new EventSource("events");
  events.onmessage = () => {
    seen.push(frames);
    frames = 0;
    if (seen.length < 6) return;
    events.close();
    resolve(Math.min(...seen.slice(1)));
  };
})`;

describeWith(["chromium"], "the live page with 500 uploads in flight", () => {
  const scene = useScene();
  const browser = useBrowser();

  test("shows every one, moves them smoothly, and answers the keyboard", async () => {
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
    const sending = setInterval(() => {
      for (const peer of peers.slice(0, 400)) peer.sendChunk("x"); // the others have hardly any left to send
    }, 100);
    // It does not stand still while it takes in an event, also where this machine has other things to do.
    expect(await page.evaluate<number>(FEWEST_FRAMES)).toBeGreaterThanOrEqual(3);
    clearInterval(sending);
    await page.getByRole("searchbox").fill("image-49");
    await expect.poll(() => rows.count(), SOON).toBe(11);
    await page.getByRole("searchbox").fill("");
    for (const peer of peers) peer.destroy();
    await expect.poll(() => page.locator(".finished tbody tr").count(), SOON).toBe(100);
    await expect.poll(() => rows.count(), SOON).toBe(0);
  });
});
