/** The live page in a real browser, which tells everything that it asks for and complains of. */
import { createRequire } from "node:module";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { CHROMIUM } from "../support/provided.js";

/** So many milliseconds for what the page shows by itself: an event comes each second. */
export const SOON = { timeout: 20_000 };
export const PHONE = { width: 390, height: 844 };

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

export interface LivePage {
  readonly page: Page;
  /** From now on the proxy may go, and the browser may say so in its console. */
  readonly expectLoss: () => void;
}

export interface PageScene {
  open(adminPort: number, options?: BrowserContextOptions, scheme?: "http" | "https"): Promise<LivePage>;
}

interface Watched {
  readonly page: Page;
  readonly origin: string;
  readonly asked: Set<string>;
  readonly complaints: string[];
}

export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/**
 * Call it at the top of a suite, after `useScene`, so that pages go before their proxy. A page that asked for more than its
 * own address, or of which the browser complained, fails its test.
 */
export function useBrowser(): PageScene {
  let browser: Browser;
  let opened: Watched[] = [];
  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(() => browser.close());
  afterEach(async () => {
    const pages = opened;
    opened = [];
    await Promise.all(pages.map(({ page }) => page.context().close()));
    for (const { asked, origin, complaints } of pages) {
      // Soft, or the proxy would not be ended.
      expect.soft([...asked]).toEqual([origin]);
      expect.soft(complaints).toEqual([]);
    }
  });
  return {
    async open(adminPort, options = {}, scheme = "http") {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
      await context.addInitScript({ path: AXE });
      const page = await context.newPage();
      const origin = `${scheme}://127.0.0.1:${adminPort}`;
      const watched: Watched = { page, origin, asked: new Set(), complaints: [] };
      opened.push(watched);
      let lossExpected = false;
      page.on("request", (request) => watched.asked.add(new URL(request.url()).origin));
      page.on("pageerror", (error) => watched.complaints.push(String(error)));
      page.on("console", (message) => {
        const ofLoss = lossExpected && message.text().includes("net::ERR_");
        if (message.type() === "error" && !ofLoss) watched.complaints.push(message.text());
      });
      await page.goto(origin);
      return {
        page,
        expectLoss: () => {
          lossExpected = true;
        },
      };
    },
  };
}

/** What axe finds that keeps people out: nothing, or each rule with the elements that break it. */
export async function findBarriers(page: Page): Promise<string[]> {
  const { violations } = await page.evaluate(() => (globalThis as unknown as Axe).axe.run());
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

interface Axe {
  readonly axe: {
    run(): Promise<{
      readonly violations: readonly {
        readonly id: string;
        readonly impact: string;
        readonly nodes: readonly { readonly html: string }[];
      }[];
    }>;
  };
}
