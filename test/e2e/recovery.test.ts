/**
 * The whole body went to Glance, and its answer was lost or came too late, as behind uWSGI's router: what became of the upload is seen
 * in the image. The client is told of a success only if it is certain that this upload made the image what it is.
 */
import { describe, expect, it } from "vitest";
import { type RawResponse, request } from "../support/raw-http.js";
import type { UploadScript } from "../support/recording-upstream.js";
import { CHUNKED, FILE, type Scene, SIZE, STAGE, useScene } from "./scene.js";

const ROLLBACK = { timeout: "600ms", interval: "10ms" };
const scene = useScene({ rollback: ROLLBACK, upstream: { responseTimeout: "400ms" } });

const reset: UploadScript = (incoming) => void incoming.socket.resetAndDestroy();
const close: UploadScript = (incoming) => void incoming.socket.end();
const silence: UploadScript = () => undefined;
const gateway =
  (status: number): UploadScript =>
  (_incoming, response) =>
    void response.writeHead(status, { "content-type": "text/html" }).end("<html>balancer</html>");
const brokenOff: UploadScript = (incoming) => void incoming.socket.end("HTTP/1.1 204 No Con");

interface Image {
  readonly status: string;
  readonly size: number | null;
  /** When it was changed last; ISO 8601. */
  readonly updated_at?: string;
}

const ago = (ms: number): string => new Date(Date.now() - ms).toISOString();

/** What the image shows, look by look; the last one for ever. A number is a status without an image. */
function showing({ upstream }: Scene, ...looks: (Image | number)[]): void {
  let count = 0;
  upstream.answerLookUp = (response) => {
    const look = looks[Math.min(count, looks.length - 1)] ?? 500;
    count += 1;
    if (typeof look === "number") response.writeHead(look).end();
    else response.end(JSON.stringify(look));
  };
}

/** Reads the whole body, then does this. */
function afterWhole(script: UploadScript): void {
  scene.upstream.onUpload = (incoming, response) => {
    incoming.resume().once("end", () => script(incoming, response));
  };
}

function upload(target = FILE, headers = {}, port = scene.proxy.port): Promise<RawResponse> {
  const body = "Transfer-Encoding" in headers ? "5\r\nhello\r\n0\r\n\r\n" : "hello";
  return request(port, "PUT", target, { headers, body });
}

const recovered = (result: string): Promise<number> =>
  scene.proxy.metric(`recovered_answers_total{result="${result}"}`);

const losses: [string, UploadScript][] = [
  ["reset", reset],
  ["closed", close],
  ["late", silence],
  ["broken off in its head", brokenOff],
  ["a balancer's 502", gateway(502)],
  ["a balancer's 504", gateway(504)],
];

describe.each(losses)("an answer that is %s", (_, script) => {
  it.each([
    ["file", FILE, "active"],
    ["stage", STAGE, "uploading"],
  ])("becomes a success if the image has all bytes (%s)", async (_operation, target, status) => {
    afterWhole(script);
    const begun = { status: status === "active" ? "saving" : "uploading", size: null };
    for (const [count, headers] of [{}, CHUNKED, { ...CHUNKED, [SIZE]: 5 }].entries()) {
      showing(scene, begun, { status, size: 5 });
      const answer = await upload(target.replace("one", `image-${count}`), headers);
      expect([answer.status, answer.text]).toEqual([204, ""]);
      expect(answer.headers["x-openstack-request-id"]).toMatch(/^req-/);
    }
    expect(await recovered("success")).toBe(3);
    expect(scene.proxy.logged.filter(({ msg }) => msg === "upload").map(({ outcome }) => outcome)).toEqual(
      Array(3).fill("completed"),
    );
  });

  it("becomes 502 if Glance has rolled the image back", async () => {
    afterWhole(script);
    showing(scene, { status: "saving", size: null }, { status: "queued", size: null });
    const { status } = await upload();
    expect([502, 504]).toContain(status);
    expect(await recovered("queued")).toBe(1);
  });

  it("becomes 504 with the state of the image if neither is certain", async () => {
    afterWhole(script);
    showing(scene, { status: "saving", size: null });
    const { status, text } = await upload();
    expect([502, 504]).toContain(status);
    if (script !== losses[4]?.[1] && script !== losses[5]?.[1]) {
      expect([status, text]).toEqual([504, expect.stringContaining("image one is saving")]);
    }
    expect(await recovered("unknown")).toBe(1);
  });
});

describe("it is not certain that this upload made the image active", () => {
  const active = (more: Partial<Image> = {}): Image => ({ status: "active", size: 5, ...more });

  it.each([
    ["it was so before", active({ updated_at: ago(60_000) })],
    ["Glance does not say since when", active()],
    ["it has another size", active({ size: 4, updated_at: ago(0) })],
    ["it has no size", active({ size: null, updated_at: ago(0) })],
    ["it is deactivated", active({ status: "deactivated", updated_at: ago(0) })],
    ["it is being imported", active({ status: "importing", updated_at: ago(0) })],
    ["it is gone", 404],
    ["the token has ended", 401],
    ["it may not be seen", 403],
    ["Glance fails to show it", 500],
  ] as [string, Image | number][])("if %s", async (_, image) => {
    afterWhole(reset);
    showing(scene, image);
    const { status, text } = await upload();
    expect([status, text]).toEqual([504, expect.stringContaining("whole image was sent")]);
    expect(await recovered("unknown")).toBe(1);
    expect(await recovered("success")).toBe(0);
  });

  it("if another upload of the same image has just completed", async () => {
    showing(scene, active({ updated_at: ago(0) }));
    expect((await upload()).status).toBe(204);
    afterWhole(reset);
    expect((await upload()).status).toBe(504);
  });

  it("if another upload of the same image is in progress, even if the image was saving", async () => {
    showing(scene, { status: "saving", size: null }, { status: "saving", size: null }, active());
    let release = (): void => undefined;
    scene.upstream.onUpload = (incoming, response) => {
      incoming.resume().once("end", () => (release = () => void response.writeHead(204).end()));
    };
    // The first upload waits for its answer for as long as the second one takes.
    const { port } = await scene.startAnother({ rollback: ROLLBACK });
    const first = upload(FILE, {}, port);
    await expect.poll(() => scene.upstream.uploads.filter(({ bytes }) => bytes === 5).length).toBe(1);
    afterWhole(reset);
    expect((await upload(FILE, {}, port)).status).toBe(504);
    release();
    expect((await first).status).toBe(204);
  });

  it("if the body was incomplete: nothing is recovered", async () => {
    scene.upstream.onUpload = (incoming) => {
      incoming.once("data", () => incoming.socket.resetAndDestroy());
    };
    showing(scene, active({ updated_at: ago(0) }));
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("hell");
    expect((await peer.response()).status).toBe(502);
    expect(await recovered("success")).toBe(0);
  });
});

it("a lost answer is recovered if the image has changed since the upload began", async () => {
  afterWhole(reset);
  showing(scene, { status: "active", size: 5, updated_at: ago(0) });
  expect((await upload()).status).toBe(204);
  expect(await recovered("success")).toBe(1);
});

it("rollback.verify: false turns answer recovery off", async () => {
  const { port } = await scene.startAnother({ rollback: { verify: false } });
  afterWhole(reset);
  showing(scene, { status: "active", size: 5, updated_at: ago(0) });
  expect((await request(port, "PUT", FILE, { body: "hello" })).status).toBe(502);
  expect(scene.upstream.requests.map(({ method }) => method)).toEqual(["PUT"]);
});

it("a lost answer is recovered and counted even if the client has disconnected", async () => {
  afterWhole(reset);
  showing(scene, { status: "saving", size: null }, { status: "active", size: 5 });
  const peer = await scene.startUpload({ [SIZE]: 5 });
  peer.sendChunk("hello").endChunks();
  await scene.uploadUpstream();
  peer.reset();
  await expect.poll(() => recovered("success")).toBe(1);
  const label = 'uploads_total{operation="file",outcome="completed",size_source="header"}';
  await expect.poll(() => scene.proxy.metric(label)).toBe(1);
});
