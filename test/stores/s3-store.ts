import { startRequestCounter } from "../support/request-counter.js";
import { startSwift } from "../support/swift.js";
import { count, NOTHING, type TestedStore, type Upload } from "./tested-store.js";

const BUCKET = "glance";

/** How many parts Glance had sent when its upload broke off depends on its speed. */
const unfinishedUpload = (hasParts: boolean): string =>
  `an unfinished multipart upload with${hasParts ? "" : "out"} parts`;

/** An S3 of Swift's. Images of 8 MiB and more are stored in parts, if their size is known. */
export async function startS3Store(): Promise<TestedStore> {
  const swift = await startSwift();
  const counter = await startRequestCounter(swift.port);
  // Glance's parts are sent by green threads. uWSGI has none: there they are sent after the whole body was read.
  const unfinished = ({ isDeclared, server }: Upload): string =>
    isDeclared ? unfinishedUpload(server === "eventlet") : NOTHING;
  return {
    glance: {
      type: "s3",
      options: [
        `s3_store_host = http://127.0.0.1:${counter.port}`,
        `s3_store_access_key = ${swift.accessKey}`,
        `s3_store_secret_key = ${swift.user.key}`,
        `s3_store_bucket = ${BUCKET}`,
        "s3_store_create_bucket_on_put = true",
        "s3_store_bucket_url_format = path",
        "s3_store_large_object_size = 8",
        "s3_store_large_object_chunk_size = 8",
      ],
    },
    requests: counter.requests,
    operations(requests) {
      const of = (method: string, target: RegExp): number =>
        requests.filter((one) => one.method === method && target.test(one.target)).length;
      const parts = of("PUT", /partNumber=/);
      const whole = of("PUT", /^\/glance\/[^/?]+$/);
      const multipart = `create, ${count(parts, "part")}, ${of("POST", /uploadId=/) > 0 ? "complete" : "no end"}`;
      return [...(whole > 0 ? [count(whole, "PUT")] : []), ...(parts > 0 ? [multipart] : [])].join("; ");
    },
    async left() {
      const objects = await swift.list(BUCKET);
      const segments = await swift.list(`${BUCKET}+segments`);
      const hasParts = segments.some((name) => /\/\d+$/.test(name));
      if (objects.length > 0) return count(objects.length, "object");
      return segments.length === 0 ? NOTHING : unfinishedUpload(hasParts);
    },
    atCut: unfinished,
    afterCut: unfinished,
    clear: () => swift.clear(`${BUCKET}+segments`),
    async stop() {
      counter.stop();
      await swift.stop();
    },
  };
}
