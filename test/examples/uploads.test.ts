/** The examples for clients: each uploads an image with its digest, and learns of a byte that was changed on the way. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import type { Requirement } from "../support/provided.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { type RecordingUpstream, startRecordingUpstream } from "../support/recording-upstream.js";
import { describeWith } from "../support/requirements.js";
import { type CommandResult, run } from "../support/run.js";

const MARK = 1;
/** With one byte of its own, in the middle. */
const IMAGE = Buffer.alloc(100_000, "x").fill(MARK, 50_000, 50_001);

let directory: string;
let upstream: RecordingUpstream;
let proxy: TestProxy;
let relay: Server;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "examples-uploads-"));
  await writeFile(join(directory, "image"), IMAGE);
});
afterAll(() => rm(directory, { recursive: true, force: true }));
beforeEach(async () => {
  upstream = await startRecordingUpstream();
  proxy = await startProxy(upstream.url);
});
afterEach(async () => {
  proxy.stop();
  relay.close();
  await upstream.stop();
});

/** @returns the URL of a way to the proxy on which the byte is changed, or nothing is. */
async function startWay(changes: boolean): Promise<string> {
  relay = createServer((client) => {
    const onward = connect(proxy.port, "127.0.0.1");
    client.on("data", (piece) => {
      const at = changes ? piece.indexOf(MARK) : -1;
      if (at !== -1) piece[at] = MARK + 1;
      onward.write(piece);
    });
    onward.pipe(client);
    client.on("error", () => onward.destroy()).on("end", () => onward.end());
    onward.on("error", () => client.destroy());
  });
  relay.listen(0, "127.0.0.1");
  await new Promise((resolve) => relay.once("listening", resolve));
  return `http://127.0.0.1:${(relay.address() as AddressInfo).port}`;
}

/** Go compiles the example first. */
const BUILD_MS = 120_000;

type Example = (env: Record<string, string>) => Promise<CommandResult>;

const PROGRAMS: [string, Requirement[], Example][] = [
  [
    "upload.sh",
    ["curl", "openssl"],
    (env) => run("examples/uploads/upload.sh", ["one", join(directory, "image")], { env }),
  ],
  [
    "upload.py",
    ["requests"],
    (env) =>
      run("/usr/bin/python3", ["examples/uploads/upload.py", "one", join(directory, "image")], { env }),
  ],
  [
    "upload.go",
    ["go"],
    async (env) =>
      run("/usr/bin/go", ["run", "examples/uploads/upload.go", "one"], {
        env: { ...env, GOCACHE: join(directory, "go"), GOPATH: directory },
        timeoutMs: BUILD_MS,
        input: await readFile(join(directory, "image")),
      }),
  ],
];

for (const [name, requirements, upload] of PROGRAMS) {
  describeWith(requirements, `examples/uploads/${name}`, () => {
    it(
      "uploads an image with its digest",
      async () => {
        const url = await startWay(false);
        const { code, stderr, stdout } = await upload({ OS_IMAGE_URL: url, OS_TOKEN: "secret" });
        expect({ code, stderr, stdout }).toEqual({ code: 0, stderr: "", stdout: "" });
        expect(upstream.uploads).toMatchObject([{ bytes: IMAGE.length, complete: true }]);
        expect(upstream.uploads[0]?.headers["x-auth-token"]).toBe("secret");
      },
      BUILD_MS,
    );

    it("fails if a byte changes on the way, and says so", async () => {
      const url = await startWay(true);
      const { code, stderr, stdout } = await upload({ OS_IMAGE_URL: url, OS_TOKEN: "secret" });
      expect(code).not.toBe(0);
      expect(stdout + stderr).toContain("Digest mismatch: Content-Digest: sha-256: expected ");
      await Promise.all(upstream.uploads.map(({ over }) => over));
      expect(upstream.uploads.filter(({ complete }) => complete)).toEqual([]);
    });
  });
}
