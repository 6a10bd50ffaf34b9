/** One upload, measured. */
import { createImage, showImage } from "../../test/support/glance-client.js";
import { peakBytes, restartPeak } from "../../test/support/process-memory.js";
import { request } from "../../test/support/raw-http.js";
import { othersDuring } from "../machine.js";
import { peakDisk } from "../process.js";
import { upload } from "../upload.js";
import type { Cell } from "./cells.js";
import type { Scene } from "./scene.js";

export interface Measured {
  readonly seconds: number;
  /** Cores' time that went to what has no part in the upload. */
  readonly othersCores: number;
  /** Peak resident bytes of Glance's process during the upload. */
  readonly glanceBytes: number;
  /** Of what stands between; undefined if nothing does. */
  readonly proxy: { readonly memoryBytes: number; readonly diskBytes: number } | undefined;
}

/** @returns undefined if the way is not installed. @throws unless the image is whole afterwards. */
export async function measure(
  { glance, s3, proxies }: Scene,
  { way, body }: Cell,
  sizeBytes: number,
): Promise<Measured | undefined> {
  const proxy = proxies.get(way);
  if (!proxy && way !== "direct") return undefined;
  const imageId = await createImage(glance.port);
  await restartPeak(glance.pid);
  if (proxy) await restartPeak(proxy.pid);

  const involved = [process.pid, glance.pid, s3.pid, ...(proxy ? [proxy.pid] : [])];
  const [[seconds, diskBytes], othersCores] = await othersDuring(involved, () => {
    const send = (): Promise<number> => upload(proxy?.port ?? glance.port, imageId, body, sizeBytes);
    return proxy ? peakDisk(proxy.pid, proxy.directory, send) : send().then((seconds) => [seconds, 0]);
  });

  const measured = {
    seconds,
    othersCores,
    glanceBytes: await peakBytes(glance.pid),
    proxy: proxy && { memoryBytes: await peakBytes(proxy.pid), diskBytes },
  };
  const { status, size } = await showImage(glance.port, imageId);
  if (status !== "active" || size !== sizeBytes)
    throw new Error(`after an upload of ${sizeBytes} bytes (${way}, ${body}): ${status}, ${size} bytes`);
  const deleted = await request(glance.port, "DELETE", `/v2/images/${imageId}`);
  if (deleted.status !== 204) throw new Error(`image not deleted: ${deleted.status} ${deleted.text}`);
  return measured;
}
