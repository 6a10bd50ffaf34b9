import { startCeph } from "../support/ceph.js";
import { startCinder } from "../support/cinder.js";
import { startRequestCounter } from "../support/request-counter.js";
import { count, MIB, NOTHING, type TestedStore } from "./tested-store.js";

/** Volumes are as large as whole GiB: one more is needed after the first. */
export const CINDER_IMAGE_BYTES = 1_024 * MIB + 7;

/** Volumes of a Cinder that lie in a Ceph. */
export async function startCinderStore(): Promise<TestedStore> {
  const ceph = await startCeph();
  const cinder = await startCinder(ceph).catch(async (error: unknown) => {
    await ceph.stop();
    throw error;
  });
  const counter = await startRequestCounter(cinder.port);
  return {
    glance: {
      type: "cinder",
      options: [`cinder_endpoint_template = http://127.0.0.1:${counter.port}/v3/%(project_id)s`],
    },
    requests: counter.requests,
    operations(requests) {
      const posts = requests.filter(({ method }) => method === "POST");
      const attached = posts.filter(({ target }) => target.endsWith("/attachments")).length;
      const extended = posts.filter(({ text }) => text.includes("os-extend")).length;
      return `create, ${count(attached, "attachment")}, ${count(extended, "extend")}`;
    },
    async left() {
      const volumes = await cinder.volumes();
      return volumes.length === 0 ? NOTHING : count(volumes.length, "volume");
    },
    atCut: () => "1 volume",
    afterCut: () => NOTHING,
    clear: () => Promise.resolve(),
    async stop() {
      counter.stop();
      await cinder.stop();
      await ceph.stop();
    },
  };
}
