import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startRequestCounter } from "../support/request-counter.js";
import { startSwift } from "../support/swift.js";
import { count, NOTHING, type TestedStore } from "./tested-store.js";

const CONTAINER = "glance";

/** Images of 8 MiB and more are stored in segments of 8 MiB, and so is what has no known size. */
export async function startSwiftStore(): Promise<TestedStore> {
  const swift = await startSwift();
  const counter = await startRequestCounter(swift.port);
  const directory = await mkdtemp(join(tmpdir(), "swift-store-"));
  const accounts = join(directory, "accounts.conf");
  const { name, key } = swift.user;
  await writeFile(
    accounts,
    `[one]\nuser = ${name}\nkey = ${key}\nauth_version = 1\nauth_address = http://127.0.0.1:${counter.port}/auth/v1.0\n`,
  );
  return {
    glance: {
      type: "swift",
      options: [
        `swift_store_config_file = ${accounts}`,
        "default_swift_reference = one",
        `swift_store_container = ${CONTAINER}`,
        "swift_store_create_container_on_put = true",
        "swift_store_large_object_size = 8",
        "swift_store_large_object_chunk_size = 8",
      ],
    },
    requests: counter.requests,
    operations(requests) {
      const puts = requests.filter((one) => one.method === "PUT" && one.target.split("/").length > 4);
      const segments = puts.filter((one) => /-\d{5}$/.test(one.target)).length;
      return segments === 0
        ? count(puts.length, "PUT")
        : `${count(segments, "segment")}, ${puts.length > segments ? "manifest" : "no manifest"}`;
    },
    async left() {
      const objects = await swift.list(CONTAINER);
      const segments = objects.filter((one) => /-\d{5}$/.test(one)).length;
      if (objects.length > segments) return `an object, ${count(segments, "segment")}`;
      return objects.length === 0 ? NOTHING : count(segments, "segment");
    },
    atCut: () => "2 segments",
    afterCut: () => NOTHING,
    clear: () => swift.clear(CONTAINER),
    async stop() {
      counter.stop();
      await swift.stop();
      await rm(directory, { recursive: true });
    },
  };
}
