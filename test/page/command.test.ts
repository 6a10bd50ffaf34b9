/** The live page of the command as it is built: of several workers, and of the demonstration. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";
import { SIZE, useScene } from "../e2e/scene.js";
import { createAuthority } from "../support/certificates.js";
import { startCommand } from "../support/cli.js";
import type { Peer } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";
import { SOON, useBrowser } from "./live-page.js";

describeWith(["chromium", "openssl"], "the live page", () => {
  const scene = useScene();
  const browser = useBrowser();

  it("shows the uploads of all workers, and that a worker died", async () => {
    const command = await startCommand(scene.upstream.url, { GLANCE_SIZE_PROXY_WORKERS: "2" });
    try {
      const { page, expectLoss } = await browser.open(command.adminPort);
      const soon = (selector: string) =>
        expect.poll(async () => (await page.locator(selector).allInnerTexts()).join(" | "), SOON);
      await soon(".about").toContain("2 workers");
      // One after the other, so that connections go to the workers in turn.
      const peers: Peer[] = [];
      for (const number of [1, 2, 3, 4]) {
        peers.push(await scene.startUpload({ [SIZE]: 10 }, `/v2/images/image-${number}/file`, command.port));
        await expect.poll(async () => (await command.uploads()).inFlight.length).toBe(number);
      }
      for (const peer of peers) peer.sendChunk("hello");
      await expect
        .poll(() => page.locator("progress[value='50']").evaluateAll((bars) => bars.length), SOON)
        .toBe(4);
      const { pid } = command;
      const [victim] = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).split(" ").map(Number);
      process.kill(victim ?? 0, "SIGKILL");
      await soon(".verdict").toBe("upstream error | upstream error");
      for (const peer of peers) peer.sendChunk("world").endChunks();
      await soon(".verdict").toBe("completed | completed | upstream error | upstream error");
      await soon(".totals .is-completed").toMatch(/^Completed\s+2$/);
      await soon(".totals .is-failed").toMatch(/^Failed\s+2\s+2 upstream error$/);
      await soon(".about").toContain("2 workers");
      expectLoss();
    } finally {
      await command.stop();
    }
  });

  it("shows live data to whoever has logged in over TLS", async () => {
    const authority = await createAuthority();
    const { certFile, keyFile } = await authority.issue("127.0.0.1");
    const tokenFile = `${certFile}.token`;
    await writeFile(tokenFile, "canary-7f3a", { mode: 0o600 });
    const command = await startCommand(scene.upstream.url, {
      GLANCE_SIZE_PROXY_WORKERS: "2",
      GLANCE_SIZE_PROXY_ADMIN__TLS__CERT_FILE: certFile,
      GLANCE_SIZE_PROXY_ADMIN__TLS__KEY_FILE: keyFile,
      GLANCE_SIZE_PROXY_ADMIN__TOKEN_FILE: tokenFile,
    });
    try {
      const httpCredentials = { username: "operator", password: "canary-7f3a" };
      const options = { ignoreHTTPSErrors: true, httpCredentials };
      const { page, expectLoss } = await browser.open(command.adminPort, options, "https");
      const peer = await scene.startUpload({ [SIZE]: 10 }, "/v2/images/one/file", command.port);
      peer.sendChunk("hello");
      await expect.poll(() => page.locator("progress[value='50']").count(), SOON).toBe(1);
      peer.sendChunk("world").endChunks();
      await expect.poll(() => page.locator(".verdict").allInnerTexts(), SOON).toEqual(["completed"]);
      expectLoss();
    } finally {
      await command.stop();
      await authority.remove();
    }
  });

  it("of the demo stays at the printed address, is opened on request, and shows uploads that go on", async () => {
    const directory = await mkdtemp(join(tmpdir(), "browser-"));
    // In place of the browser: it writes what it was asked to open.
    const opened = join(directory, "opened");
    await writeFile(join(directory, "xdg-open"), `#!/bin/sh\necho "$1" > ${opened}\n`, { mode: 0o755 });
    const demo = spawn(process.execPath, ["dist/cli.js", "demo", "--open"], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, PATH: `${directory}:${process.env["PATH"]}` },
    });
    const exited = once(demo, "exit");
    try {
      let url = "";
      for await (const line of createInterface({ input: demo.stdout })) {
        url = /^Live page: (http:.*)$/.exec(line)?.[1] ?? url;
        if (line.startsWith("Press Ctrl-C")) break;
      }
      await expect.poll(() => readFile(opened, "utf8").catch(() => ""), SOON).toBe(`${url}\n`);
      const { page, expectLoss } = await browser.open(Number(new URL(url).port));
      const outcomes = () => page.locator(".verdict").allInnerTexts();
      await expect
        .poll(async () => (await outcomes()).slice(-6), SOON)
        .toEqual(["completed", "invalid size", "completed", "size mismatch", "size exceeded", "completed"]);
      await expect.poll(async () => (await outcomes()).length, SOON).toBeGreaterThan(7);
      await expect.poll(() => page.locator(".moving .rate").count(), SOON).toBeGreaterThan(0);
      expectLoss();
      demo.kill("SIGINT");
      expect(await exited).toEqual([0, null]);
    } finally {
      demo.kill("SIGKILL");
      await exited;
      await rm(directory, { recursive: true });
    }
  });
});
