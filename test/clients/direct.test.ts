/** That the clients work against a Glance with no proxy between: what the tests through the proxy are measured by. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { createImage, showImage } from "../support/glance-client.js";
import { borrowGlance } from "../support/lent-glances.js";
import type { Glance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { runCurl, runGlance, runOpenstack, runPythonPut, withFile } from "./clients.js";

describeWith(
  ["glance-api", "glance", "openstack", "requests", "curl"],
  "Command-line clients directly at Glance",
  () => {
    let glance: Glance;
    beforeAll(async () => {
      glance = await borrowGlance("eventlet");
    });
    // Unset if the start failed.
    afterAll(() => (glance as Glance | undefined)?.stop());

    const create = ["--disk-format", "raw", "--container-format", "bare"];

    it("glance image-create uploads a file, and image-download gives it back", async () => {
      await withFile("hello", async (path) => {
        const created = await runGlance(glance.url, [
          "image-create",
          "--name",
          "g",
          ...create,
          "--file",
          path,
        ]);
        expect(created).toMatchObject({ code: 0, stderr: "" });
        const id = /\| id +\| ([0-9a-f-]{36})/.exec(created.stdout)?.[1] ?? "";
        expect(await showImage(glance.port, id)).toMatchObject({ status: "active", size: 5 });
        // Without --file the data goes to stdout, which must not be a terminal.
        expect(await runGlance(glance.url, ["image-download", id])).toMatchObject({
          code: 0,
          stdout: "hello",
        });
      });
    });

    it("glance prints Glance's explanation of a refusal", async () => {
      const result = await withFile("hello", (path) =>
        runGlance(glance.url, ["image-upload", "--file", path, "00000000-0000-0000-0000-000000000000"]),
      );
      expect(result.code).not.toBe(0);
      expect(result.stderr).toContain("No image found with ID 00000000-0000-0000-0000-000000000000");
    });

    it("openstack image create uploads a file, and image save gives it back", async () => {
      await withFile("hello", async (path) => {
        const args = ["image", "create", "o", ...create, "--file", path, "-f", "value", "-c", "id"];
        const created = await runOpenstack(glance.url, args);
        expect(created.code).toBe(0);
        const id = created.stdout.trim();
        expect(await showImage(glance.port, id)).toMatchObject({ status: "active", size: 5 });
        expect(await runOpenstack(glance.url, ["image", "save", id])).toMatchObject({
          code: 0,
          stdout: "hello",
        });
      });
    });

    it.each(["chunked", "file"] as const)("python-requests uploads (%s)", async (framing) => {
      const id = await createImage(glance.port);
      const url = `${glance.url}/v2/images/${id}/file`;
      expect(await runPythonPut([url], { framing, sizeBytes: 100_000 })).toEqual({
        code: 0,
        stdout: "204\n\n",
        stderr: "",
      });
      expect(await showImage(glance.port, id)).toMatchObject({ status: "active", size: 100_000 });
    });

    it("python-requests reads a refusal", async () => {
      const url = `${glance.url}/v2/images/nope/file`;
      const result = await runPythonPut([url], { framing: "file", sizeBytes: 5 });
      expect(result.code).toBe(0);
      expect(result.stdout).toContain("404\n");
      expect(result.stdout).toContain("No image found with ID nope");
    });

    it("curl uploads a file", async () => {
      const id = await createImage(glance.port);
      const type = ["-H", "Content-Type: application/octet-stream"];
      const url = `${glance.url}/v2/images/${id}/file`;
      const result = await withFile("hello", (path) =>
        runCurl([...type, "-T", path, "-w", "%{http_code}", url]),
      );
      expect(result).toEqual({ code: 0, stdout: "204", stderr: "" });
      expect(await showImage(glance.port, id)).toMatchObject({ status: "active", size: 5 });
    });
  },
);
