/** What a proxy tells its operators. */
import type { UploadsSnapshot } from "../../src/index.js";
import { until } from "./glance-client.js";
import { request } from "./raw-http.js";

/** How often in a row a number of bytes must be the same, so that it stands still and not only between two reads. */
const STILL_LOOKS = 5;

export interface AdminReader {
  /** One sample of `/metrics`, its name without the prefix but with its labels in order; 0 if absent. */
  metric(sample: string): Promise<number>;
  uploads(): Promise<UploadsSnapshot>;
  /** Resolves when the bytes of the one upload in flight no longer grow: everything between client and Glance is full. */
  standstill(): Promise<{ readonly receivedBytes: number; readonly forwardedBytes: number }>;
}

export function readAdmin(port: number): AdminReader {
  const uploads = async () => (await request(port, "GET", "/uploads")).json() as UploadsSnapshot;
  return {
    async metric(sample) {
      const { text } = await request(port, "GET", "/metrics");
      const line = text.split("\n").find((one) => one.startsWith(`glance_size_proxy_${sample} `));
      return Number(line?.split(" ").at(-1) ?? 0);
    },
    uploads,
    async standstill() {
      let before = { receivedBytes: 0, forwardedBytes: 0 };
      let looks = 0;
      const isStill = (now: typeof before): boolean => {
        const isSame =
          now.receivedBytes === before.receivedBytes && now.forwardedBytes === before.forwardedBytes;
        looks = isSame && now.receivedBytes > 0 ? looks + 1 : 0;
        before = now;
        return looks === STILL_LOOKS;
      };
      return until(async () => (await uploads()).inFlight[0] ?? before, isStill);
    },
  };
}
