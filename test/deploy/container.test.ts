/** The Dockerfile: linted, built by a real builder, and run as it says it wants to be run. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { validate } from "dockerfile-utils";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { adviseOnNode } from "../../src/observe/node-version.js";
import { buildImage, type ContainerImage } from "../support/container-image.js";
import { freePort } from "../support/free-port.js";
import { createImage, OCTET_STREAM, putImageData, showImage, until } from "../support/glance-client.js";
import { connect } from "../support/raw-http.js";
import type { Glance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { startStandIn } from "../support/stand-in.js";

const dockerfile = readFileSync("Dockerfile", "utf8");

it("the linter finds nothing wrong with the Dockerfile", () => {
  expect(validate(dockerfile)).toEqual([]);
  expect(validate(dockerfile.replace("WORKDIR /app", "WORKDIR app"))).toHaveLength(1);
});

it("the image has a Node with the security fixes that the proxy needs", () => {
  const versions = [...dockerfile.matchAll(/^FROM node:(\d+\.\d+\.\d+)-slim\b/gm)].map(
    ([, version]) => version ?? "",
  );
  expect(versions).toHaveLength(2);
  // Not today: a line that has ended since must not make an older checkout fail.
  const when = new Date("2026-11-26");
  for (const version of versions)
    expect([version, adviseOnNode(version, when)]).toEqual([version, undefined]);
});

describeWith(["buildah"], "the image", () => {
  let image: ContainerImage;
  let glance: Glance;
  let child: ChildProcess | undefined;

  beforeAll(async () => {
    const [base, ...others] = new Set([...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, name]) => name));
    if (base === undefined || others.length > 0) throw new Error("both stages are to start from one image");
    image = await buildImage(`docker.io/library/${base}`);
    glance = await startStandIn();
  }, 500_000);
  afterEach(() => {
    child?.kill("SIGKILL");
  });
  afterAll(async () => {
    image?.remove();
    await glance?.stop();
  });

  it("contains the program and its run-time dependencies, but no sources and tools", () => {
    const app = join(image.root, "app");
    expect(readdirSync(app).sort()).toEqual(["config", "dist", "node_modules", "package.json"]);
    const packages = readdirSync(join(app, "node_modules"));
    expect(packages).toContain("express");
    for (const tool of ["typescript", "vitest", "eslint"]) expect(packages).not.toContain(tool);
  });

  it("does not run as root, passes SIGTERM to the program, and has a health check without a shell", () => {
    const { config, healthcheck } = image;
    expect(config).toMatchObject({
      User: "1000:1000",
      Entrypoint: ["node", "dist/cli.js"],
      StopSignal: "SIGTERM",
    });
    expect(Object.keys(config.ExposedPorts).sort()).toEqual(["9190/tcp", "9292/tcp"]);
    expect(config.Env).toContain("NODE_ENV=production");
    expect(healthcheck[0]).toBe("node");
  });

  /** Whether it would be called healthy; its admin address is another here. */
  async function healthy(adminPort: number): Promise<boolean> {
    const address = `GLANCE_SIZE_PROXY_ADMIN__ADDRESS=127.0.0.1:${adminPort}`;
    const command = ["/usr/bin/env", address, ...image.healthcheck];
    const [code] = (await once(image.spawn(command), "exit")) as [number];
    return code === 0;
  }

  it("serves on a read-only file system, is healthy, and finishes uploads on SIGTERM", async () => {
    const adminPort = await freePort();
    expect(await healthy(adminPort)).toBe(false);
    const addresses = ["--listen", "127.0.0.1:0", "--admin-listen", `127.0.0.1:${adminPort}`];
    child = image.spawn([...image.config.Entrypoint, "--upstream", glance.url, ...addresses]);
    if (!child.stdout) throw new Error("unreachable");
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    const { msg, listen } = JSON.parse(line) as { msg: string; listen: string };
    expect(msg).toBe("listening");
    const port = Number(new URL(listen).port);
    expect(await healthy(adminPort)).toBe(true);
    expect(readFileSync(`/proc/${child.pid}/status`, "utf8")).toMatch(/^Uid:\t1000\t1000\t1000\t1000$/m);
    expect(readFileSync(`/proc/${child.pid}/mountinfo`, "utf8")).toMatch(new RegExp(`${image.root} / ro,`));

    expect((await putImageData(port, await createImage(port), "hello")).status).toBe(204);
    const id = await createImage(port);
    const peer = await connect(port);
    peer.sendHead("PUT", `/v2/images/${id}/file`, { ...OCTET_STREAM, "Transfer-Encoding": "chunked" });
    peer.sendChunk("hel");
    await until(
      () => showImage(port, id),
      ({ status }) => status === "saving",
    );
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    await expect
      .poll(() =>
        connect(port).then(
          () => "open",
          () => "closed",
        ),
      )
      .toBe("closed");
    peer.sendChunk("lo").endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(await exit).toEqual([0, null]);
    expect(await showImage(glance.port, id)).toMatchObject({ status: "active", size: 5 });
  });
});
