/** A real Prometheus scrapes proxies under load: each query of the dashboard finds data, and the alerts are raised. */
import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { sendTraffic } from "../load/traffic.js";
import { createAuthority } from "../support/certificates.js";
import { createImage, OCTET_STREAM, postJson, putImageData, until } from "../support/glance-client.js";
import { type Prometheus, startPrometheus } from "../support/prometheus.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { connect, type HeaderValues, type RawResponse, request } from "../support/raw-http.js";
import { type RecordingUpstream, startRecordingUpstream } from "../support/recording-upstream.js";
import { describeWith } from "../support/requirements.js";
import { startStandIn } from "../support/stand-in.js";
import { alerts, dashboard, panels } from "./deployed.js";

const JOB = "glance-size-proxy";
const SIZE = "x-openstack-image-size";
/** Some scrapes and evaluations, on a busy machine. */
const PATIENCE_MS = 45_000;
const SPOOL_BYTES = 8 * 1024;
const BODY_BYTES = 4 * 1024;

/** A chunked upload. */
async function upload(
  port: number,
  imageId: string,
  headers: HeaderValues,
  body: string | Uint8Array,
): Promise<RawResponse> {
  const peer = await connect(port);
  try {
    peer.sendHead("PUT", `/v2/images/${imageId}/file`, {
      ...OCTET_STREAM,
      "Transfer-Encoding": "chunked",
      ...headers,
    });
    return await peer.sendChunk(body).endChunks().response();
  } finally {
    peer.destroy();
  }
}

/** One upload in three breaks off, one in five is of another size. */
async function sendMix(proxyPort: number, glancePort: number): Promise<void> {
  await sendTraffic({
    proxyPort,
    glancePort,
    count: 8,
    concurrency: 4,
    bodyBytes: BODY_BYTES,
    kinds: ["exact", "long", "short", ...Array<"vanishing">(5).fill("vanishing")],
  });
  for (const [status, headers, body] of [
    [400, { [SIZE]: "abc" }, "invalid"],
    [204, { "Upload-Length": 6 }, "hinted"],
    [204, { "User-Agent": "curl/8.1" }, "spooled"],
    [204, {}, Buffer.alloc(SPOOL_BYTES + 1)],
  ] as const) {
    const answer = await upload(proxyPort, await createImage(glancePort), headers, body);
    expect(answer.status, answer.text).toBe(status);
  }
  const refused = await request(proxyPort, "PUT", "/v2/images/one/file", {
    headers: { "Transfer-Encoding": "gzip, chunked" },
  });
  expect(refused.status).toBe(501);
  const staged = await createImage(glancePort);
  await putImageData(proxyPort, staged, "staged", { operation: "stage" });
  await postJson(proxyPort, `/v2/images/${staged}/import`, { method: { name: "glance-direct" } });
  expect((await request(proxyPort, "GET", `/v2/images/${staged}/file`)).text).toBe("staged");
}

describeWith(["prometheus", "openssl"], "a real Prometheus", () => {
  /** In front of a Glance that is told what to say of its images. */
  let told: RecordingUpstream;
  let busy: TestProxy;
  let other: TestProxy;
  let secure: TestProxy;
  let prometheus: Prometheus;
  let load: Promise<void>;
  let sending = true;
  const cleanUp: (() => unknown)[] = [];

  beforeAll(async () => {
    const glance = await startStandIn();
    cleanUp.push(() => glance.stop());
    told = await startRecordingUpstream();
    cleanUp.push(() => told.stop());
    const authority = await createAuthority();
    cleanUp.push(() => authority.remove());
    const { certFile, keyFile } = await authority.issue("127.0.0.1");
    busy = await startProxy(glance.url, { size: { unknown: "spool" }, spool: { maxTotal: SPOOL_BYTES } });
    cleanUp.push(() => busy.stop());
    other = await startProxy(told.url, { rollback: { timeout: "1s" } });
    cleanUp.push(() => other.stop());
    secure = await startProxy(glance.url, { listen: { tls: { certFile, keyFile } } });
    cleanUp.push(() => secure.stop());
    prometheus = await startPrometheus([busy, other, secure].map(instanceOf));
    cleanUp.push(() => prometheus.stop());
    await until(
      () => prometheus.query("up == 1"),
      (up) => up.length === 3,
      PATIENCE_MS,
    );
    load = (async () => {
      while (sending) await sendMix(busy.port, glance.port);
    })();
    cleanUp.push(() => {
      sending = false;
      return load.catch(() => undefined);
    });
  });
  afterAll(async () => {
    for (const act of cleanUp.reverse()) await act();
  });

  function instanceOf({ adminPort }: TestProxy): string {
    return `127.0.0.1:${adminPort}`;
  }

  /** As Grafana does it, all jobs and instances chosen. */
  function substitute(text: string): string {
    const substituted = text
      .replaceAll("$job", JOB)
      .replaceAll("$instance", [busy, other, secure].map(instanceOf).join("|"))
      .replaceAll("$__rate_interval", "15s")
      .replaceAll("$__interval", "15s")
      .replaceAll("$__range", "1m");
    expect(substituted).not.toContain("$");
    return substituted;
  }

  /** The labels of each alert of that name, once there is one with these. */
  async function raised(
    alertname: string,
    labels: Readonly<Record<string, string>>,
  ): Promise<Record<string, string>[]> {
    return until(
      async () => {
        const answer = await prometheus.api("alerts");
        return (answer as { alerts: { labels: Record<string, string> }[] }).alerts
          .map((alert) => alert.labels)
          .filter((one) => one["alertname"] === alertname);
      },
      (all) =>
        all.some((one) =>
          Object.entries({ job: JOB, ...labels }).every(([name, value]) => one[name] === value),
        ),
      PATIENCE_MS,
    );
  }

  it("evaluates every rule without an error", async () => {
    const rules = await until(
      async () => {
        const { groups } = (await prometheus.api("rules")) as {
          groups: { rules: { name: string; health: string; lastError?: string }[] }[];
        };
        return groups.flatMap((group) => group.rules);
      },
      (all) => all.every(({ health }) => health !== "unknown"),
      PATIENCE_MS,
    );
    expect(rules.map(({ lastError }) => lastError).filter(Boolean)).toEqual([]);
    expect(rules.map(({ name }) => name)).toEqual(expect.arrayContaining(alerts.map(({ alert }) => alert)));
  });

  const variables = dashboard.templating.list.flatMap(({ name, definition }) =>
    definition === undefined ? [] : [{ name, definition }],
  );
  it.each(variables)("the dashboard's variable $name has values to choose", async ({ definition }) => {
    const [, selector = "", label = ""] = /^label_values\((.*), (\w+)\)$/.exec(definition) ?? [];
    const expected = { job: [JOB], instance: [busy, other, secure].map(instanceOf).sort() }[label];
    await until(
      () => prometheus.api(`label/${label}/values`, { "match[]": substitute(selector) }),
      (values) => JSON.stringify((values as string[]).sort()) === JSON.stringify(expected),
      PATIENCE_MS,
    );
  });

  const queries = panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ refId, expr, legendFormat = "" }) => ({ title, refId, expr, legendFormat })),
  );
  it.each(queries)("the panel $title finds data by query $refId", async ({ expr, legendFormat }) => {
    const series = await until(
      () => prometheus.query(substitute(expr)),
      (found) => found.some(({ value }) => Number.isFinite(value)),
      PATIENCE_MS,
    );
    for (const [, label = ""] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
      for (const { metric } of series) expect(metric).toHaveProperty(label);
    }
  });

  it.each(["GlanceSizeProxySizeMismatches", "GlanceSizeProxyUploadsAborted"])(
    "raises %s over all instances",
    async (alert) => {
      await raised(alert, {});
    },
  );

  it("raises GlanceSizeProxySpoolNearlyFull if the spool had no space for a body", async () => {
    await raised("GlanceSizeProxySpoolNearlyFull", { instance: instanceOf(busy) });
  });

  it("raises GlanceSizeProxyCertificateExpiring for a certificate that expires tomorrow", async () => {
    await raised("GlanceSizeProxyCertificateExpiring", { instance: instanceOf(secure), side: "listen" });
  });

  it.each([
    ["GlanceSizeProxyRollbackNotFinished", "saving"],
    ["GlanceSizeProxyImageActiveAfterAbort", "active"],
  ])("raises %s at the very first image that is %s after an abort", async (alert, status) => {
    // Glance is seen to begin: what the image becomes after that is this upload's doing.
    let looks = 0;
    told.answerLookUp = (response) => {
      looks += 1;
      response.end(JSON.stringify({ status: looks === 1 ? "saving" : status, size: null }));
    };
    const { text } = await upload(other.port, "one", { [SIZE]: 4 }, "hello");
    expect(text).toContain("expected 4 bytes, got 5 bytes");
    await raised(alert, { instance: instanceOf(other) });
  });

  it("raises GlanceSizeProxyGlanceUnreachable when Glance is gone, and only for its proxy", async () => {
    await told.stop();
    const instance = instanceOf(other);
    expect(await raised("GlanceSizeProxyGlanceUnreachable", { instance })).toMatchObject([{ instance }]);
  });

  it("raises GlanceSizeProxyDown when a proxy is gone", async () => {
    other.stop();
    await raised("GlanceSizeProxyDown", { instance: instanceOf(other) });
  });

  it("scraped a load in which each upload had the expected outcome", async () => {
    sending = false;
    await load;
  });
});

describeWith(["prometheus", "openssl"], "a real Prometheus", () => {
  it("scrapes an admin address that requires a client certificate and a token over TLS", async () => {
    const cleanUp: (() => unknown)[] = [];
    try {
      const glance = await startRecordingUpstream();
      cleanUp.push(() => glance.stop());
      const authority = await createAuthority();
      cleanUp.push(() => authority.remove());
      const [{ certFile, keyFile }, client] = [
        await authority.issue("127.0.0.1"),
        await authority.issue("client"),
      ];
      const token = `${authority.certFile}.token`;
      await writeFile(token, "canary-7f3a\n", { mode: 0o600 });
      const proxy = await startProxy(glance.url, {
        admin: { tls: { certFile, keyFile, clientCaFile: authority.certFile }, tokenFile: token },
      });
      cleanUp.push(() => proxy.stop());
      const files = {
        "ca.crt": authority.certFile,
        "client.crt": client.certFile,
        "client.key": client.keyFile,
        token,
      };
      const prometheus = await startPrometheus([`127.0.0.1:${proxy.adminPort}`], files);
      cleanUp.push(() => prometheus.stop());
      await until(
        () => prometheus.query('glance_size_proxy_tls_certificate_expiry_timestamp_seconds{side="admin"}'),
        (found) => found.length === 1,
        PATIENCE_MS,
      );
    } finally {
      for (const act of cleanUp.reverse()) await act();
    }
  });
});
