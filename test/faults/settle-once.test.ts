/** However many things go wrong with an upload, the first of them is its end. */
import { expect, it } from "vitest";
import { createLog } from "../../src/observe/log.js";
import { createMetrics } from "../../src/observe/metrics.js";
import { createUploadsRegistry } from "../../src/observe/uploads-registry.js";
import { Upload } from "../../src/upload/upload.js";

it("an upload that is settled again keeps its outcome, and is counted, listed and logged once", async () => {
  const lines: string[] = [];
  const metrics = createMetrics();
  const uploads = createUploadsRegistry();
  const log = createLog("info", { write: (line) => void lines.push(line) });
  const upload = new Upload(
    {
      requestId: "req-1",
      imageId: "one",
      operation: "file",
      framingIn: "chunked",
      peer: undefined,
      userAgent: undefined,
      clientRequestId: undefined,
      traceparent: undefined,
    },
    { metrics, uploads, log },
  );
  upload.settle("client_aborted", 499);
  upload.settle("upstream_error", 502);

  expect(lines).toHaveLength(1);
  expect(uploads.snapshot()).toMatchObject({ inFlight: [], finished: [{ outcome: "client_aborted" }] });
  const text = await metrics.registry.metrics();
  expect(text.match(/^glance_size_proxy_uploads_total\{.* [1-9]\d*$/gm)).toEqual([
    'glance_size_proxy_uploads_total{operation="file",outcome="client_aborted",size_source="unknown"} 1',
  ]);
  expect(text).toContain('glance_size_proxy_uploads_in_flight{operation="file"} 0');
});
