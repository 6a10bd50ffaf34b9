/** An S3 for a Glance to store in. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { GlanceStore } from "../../test/support/real-glance.js";

export interface S3 {
  readonly pid: number;
  readonly store: GlanceStore;
  stop(): Promise<void>;
}

export async function startS3(): Promise<S3> {
  const child = fork(fileURLToPath(new URL("s3-server.js", import.meta.url)));
  const [port] = (await once(child, "message")) as [number];
  return {
    pid: child.pid ?? 0,
    store: {
      type: "s3",
      options: [
        `s3_store_host = http://127.0.0.1:${port}`,
        "s3_store_access_key = access",
        "s3_store_secret_key = secret",
        "s3_store_bucket = glance",
        "s3_store_bucket_url_format = path",
      ],
    },
    async stop() {
      const exited = once(child, "exit");
      child.disconnect();
      await exited;
    },
  };
}
