/** What a proxy tells its operators. */
import type { UploadsSnapshot } from "../../src/index.js";
import { request } from "./raw-http.js";

export interface AdminReader {
  /** One sample of `/metrics`, its name without the prefix but with its labels in order; 0 where absent. */
  metric(sample: string): Promise<number>;
  uploads(): Promise<UploadsSnapshot>;
}

export function readAdmin(port: number): AdminReader {
  return {
    async metric(sample) {
      const { text } = await request(port, "GET", "/metrics");
      const line = text.split("\n").find((one) => one.startsWith(`glance_size_proxy_${sample} `));
      return Number(line?.split(" ").at(-1) ?? 0);
    },
    uploads: async () => (await request(port, "GET", "/uploads")).json() as UploadsSnapshot,
  };
}
