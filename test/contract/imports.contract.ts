/** Imports of a real Glance through the proxy. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createImage, OCTET_STREAM, postJson, showImage, untilStatus } from "../support/glance-client.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { connect, type RawResponse } from "../support/raw-http.js";
import type { Glance } from "../support/real-glance.js";

export function describeImports(glanceOf: () => Glance): void {
  describe("an import by glance-direct", () => {
    let glance: Glance;
    let proxy: TestProxy;
    beforeAll(async () => {
      glance = glanceOf();
      proxy = await startProxy(glance.url);
    });
    afterAll(() => (proxy as TestProxy | undefined)?.stop());

    const importStaged = (id: string): Promise<RawResponse> =>
      postJson(proxy.port, `/v2/images/${id}/import`, { method: { name: "glance-direct" } });

    it("is refused while staging is in progress, and succeeds after it", async () => {
      const id = await createImage(glance.port);
      const peer = await connect(proxy.port);
      try {
        peer.sendHead("PUT", `/v2/images/${id}/stage`, { ...OCTET_STREAM, "Content-Length": 10 });
        peer.send("hello");
        await untilStatus(glance.port, id, "uploading");
        const early = await importStaged(id);
        expect(early.status).toBe(409);
        expect(early.text).toContain(`Image ${id} is still being staged`);
        expect(await showImage(glance.port, id)).toMatchObject({ status: "uploading", size: null });
        peer.send("world");
        expect((await peer.response()).status).toBe(204);
        expect((await importStaged(id)).status).toBe(202);
        expect(await untilStatus(glance.port, id, "active")).toMatchObject({ size: 10 });
      } finally {
        peer.destroy();
      }
    });

    it("is answered by Glance if nothing is staged, and if there is no image", async () => {
      const queued = await importStaged(await createImage(glance.port));
      expect(queued.text).toContain("Image needs to be staged before 'glance-direct' method can be used");
      expect(queued.status).toBe(409);
      expect((await importStaged("nope")).status).toBe(404);
    });
  });
}
