/** Real clients through the command, in front of a real Glance. */
import { randomBytes } from "node:crypto";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { createImage, showImage } from "../support/glance-client.js";
import { borrowGlance } from "../support/lent-glances.js";
import type { RealGlance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";
import { runCurl, runGlance, runOpenstack, runPythonPut } from "./clients.js";

const MIB = 2 ** 20;
const IMAGE_BYTES = 256 * MIB;
/** Far more is left to send than the connection holds when the refusal comes. */
const REFUSED_BYTES = 32 * MIB;
const DECLARED_BYTES = 16 * MIB;
const ROUNDS = Number(process.env["CLIENT_ROUNDS"] ?? 8);

describeWith(["glance-api", "glance", "openstack", "requests", "curl"], "Clients through the proxy", () => {
  let glance: RealGlance;
  let proxy: RunningCommand;
  let url: string;
  let directory: string;
  let image: string;
  let refused: string;

  beforeAll(async () => {
    glance = await borrowGlance("eventlet");
    proxy = await startCommand(glance.url);
    url = `http://127.0.0.1:${proxy.port}`;
    directory = await mkdtemp(join(tmpdir(), "proxied-clients-"));
    image = join(directory, "image.raw");
    await writeRandom(image, IMAGE_BYTES);
    refused = join(directory, "refused.raw");
    await writeRandom(refused, REFUSED_BYTES);
  });
  afterAll(async () => {
    await (proxy as RunningCommand | undefined)?.stop();
    await (glance as RealGlance | undefined)?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  it("carries 256 MiB by the glance command there and back, byte by byte the same", async () => {
    const created = await runGlance(
      url,
      [
        "image-create",
        "--name",
        "one",
        "--disk-format",
        "raw",
        "--container-format",
        "bare",
        "--file",
        image,
      ],
      { timeoutMs: 120_000 },
    );
    expect(created.stderr).toBe("");
    expect(created.code).toBe(0);
    const id = /\|\s*id\s*\|\s*([0-9a-f-]{36})/.exec(created.stdout)?.[1] ?? "";
    const back = join(directory, "back.raw");
    const downloaded = await runGlance(url, ["image-download", id, "--file", back], { timeoutMs: 120_000 });
    expect(downloaded.code).toBe(0);
    expect(await run("/usr/bin/cmp", [back, image])).toEqual({ code: 0, stdout: "", stderr: "" });
  }, 300_000);

  it("carries 256 MiB by the openstack command there and back, byte by byte the same", async () => {
    const created = await runOpenstack(url, ["image", "create", "--file", image, "two", "-f", "json"], {
      timeoutMs: 120_000,
    });
    expect(created.code, created.stderr).toBe(0);
    const { id } = JSON.parse(created.stdout) as { id: string };
    expect(await showImage(glance.port, id)).toMatchObject({ status: "active", size: IMAGE_BYTES });
    const back = join(directory, "back.raw");
    const downloaded = await runOpenstack(url, ["image", "save", "--file", back, id], { timeoutMs: 120_000 });
    expect(downloaded.code, downloaded.stderr).toBe(0);
    expect(await run("/usr/bin/cmp", [back, image])).toEqual({ code: 0, stdout: "", stderr: "" });
  }, 300_000);

  const explanation = `Size exceeds: expected ${DECLARED_BYTES} bytes, got`;

  function createImages(): Promise<string[]> {
    return Promise.all(Array.from({ length: ROUNDS }, () => createImage(glance.port)));
  }

  async function expectQueued(ids: readonly string[]): Promise<void> {
    const images = await Promise.all(ids.map((id) => showImage(glance.port, id)));
    expect(images.map(({ status }) => status)).toEqual(ids.map(() => "queued"));
  }

  it.each(["chunked", "file"] as const)(
    `python-requests reads the 400 of a wrong size, ${ROUNDS} times of ${ROUNDS}, sending %s`,
    async (framing) => {
      const ids = await createImages();
      const result = await runPythonPut(
        ids.map((id) => `${url}/v2/images/${id}/file`),
        {
          framing,
          sizeBytes: REFUSED_BYTES,
          headers: { "x-openstack-image-size": String(DECLARED_BYTES) },
        },
        { timeoutMs: 120_000 },
      );
      expect(result).toMatchObject({ code: 0, stderr: "" });
      expect(result.stdout.match(/^400$/gm)).toHaveLength(ROUNDS);
      expect(result.stdout.split(explanation)).toHaveLength(ROUNDS + 1);
      await expectQueued(ids);
    },
    180_000,
  );

  it.each([
    ["a file", []],
    ["a pipe", ["-H", "Transfer-Encoding: chunked"]],
  ] as const)(
    `curl prints the 400 of a wrong size, ${ROUNDS} times of ${ROUNDS}, sending %s`,
    async (_, framing) => {
      const ids = await createImages();
      for (const id of ids) {
        const result = await runCurl(
          [
            ...["-T", refused, "-H", `x-openstack-image-size: ${DECLARED_BYTES}`, "-w", "\n%{http_code}"],
            ...["-H", "Content-Type: application/octet-stream", ...framing],
            `${url}/v2/images/${id}/file`,
          ],
          { timeoutMs: 60_000 },
        );
        expect(result.stdout).toMatch(/\n400$/);
        expect(result.stdout).toContain(explanation);
      }
      await expectQueued(ids);
    },
    180_000,
  );

  it("the glance command prints the explanation", async () => {
    const id = await createImage(glance.port);
    // Debian's glanceclient cannot send the header; another way to a size that is wrong is a limit.
    const limited = await startCommand(glance.url, { GLANCE_SIZE_PROXY_SIZE__UNKNOWN: "reject" });
    try {
      const refused = await runGlance(`http://127.0.0.1:${limited.port}`, [
        "image-upload",
        "--file",
        image,
        id,
      ]);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain("The size of the image is required");
    } finally {
      await limited.stop();
    }
  }, 120_000);
});

async function writeRandom(path: string, bytes: number): Promise<void> {
  const file = await open(path, "w");
  const piece = randomBytes(MIB);
  for (let at = 0; at < bytes; at += MIB) {
    piece.writeUInt32LE(at / MIB); // no two pieces alike: a lost or doubled one shows
    await file.write(piece);
  }
  await file.close();
}
