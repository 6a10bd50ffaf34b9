import { startCeph } from "../support/ceph.js";
import { count, NOTHING, type TestedStore } from "./tested-store.js";

export async function startRbdStore(): Promise<TestedStore> {
  const ceph = await startCeph();
  return {
    glance: ceph.store,
    requests: [],
    operations(_, log) {
      const times = (message: string): number => log.split(message).length - 1;
      const warned = times("resize-before-write") > 0 ? ", with a warning" : "";
      return `create, ${count(times("resizing image to"), "resize")}${warned}`;
    },
    async left() {
      const images = await ceph.list();
      return images.length === 0 ? NOTHING : count(images.length, "RBD image");
    },
    atCut: () => "1 RBD image",
    afterCut: () => NOTHING,
    clear: () => Promise.resolve(),
    stop: () => ceph.stop(),
  };
}
