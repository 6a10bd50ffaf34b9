/** How a request's way is recorded, in both directions, and how the proxy's own answers are marked. */
import { Socket } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { request } from "../support/raw-http.js";
import { CHUNKED, FILE, SIZE, STAGE, useScene } from "./scene.js";

const INSTANCE = /^1\.1 glance-size-proxy-[0-9a-f]{8}$/;
const CLAIMED = {
  "X-Forwarded-For": "203.0.113.1",
  "X-Forwarded-Proto": "https",
  "X-Forwarded-Host": "cloud.test",
  Forwarded: "for=203.0.113.1;proto=https",
};
const requests = [
  ["GET", "/v2/images", {}],
  ["PUT", FILE, { body: "hello" }],
] as const;

afterEach(() => void vi.restoreAllMocks());

describe.each(requests)("%s %s", (method, target, options) => {
  const scene = useScene();

  it("keeps its Host, so that Glance's links point at the proxy", async () => {
    await request(scene.proxy.port, method, target, {
      ...options,
      headers: { Host: "images.cloud.test:8443" },
    });
    expect(scene.upstream.requests[0]?.headers).toMatchObject({
      host: "images.cloud.test:8443",
      "x-forwarded-host": "images.cloud.test:8443",
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "http",
    });
  });

  it("gets Glance's own Host if it has none, as in HTTP/1.0", async () => {
    const body = method === "PUT" ? "hello" : "";
    const peer = await scene.connect();
    peer.send(`${method} ${target} HTTP/1.0\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    expect((await peer.response()).status).toBeLessThan(300);
    const [seen] = scene.upstream.requests;
    expect(seen?.headers.host).toBe(new URL(scene.upstream.url).host);
    expect(seen?.headers).not.toHaveProperty("x-forwarded-host");
    expect(seen?.rawHeaders.filter((name) => name.toLowerCase() === "host")).toHaveLength(1);
  });

  it("gets Via in both directions", async () => {
    const answer = await request(scene.proxy.port, method, target, options);
    expect(scene.upstream.requests[0]?.headers["via"]).toMatch(INSTANCE);
    expect(answer.headers["via"]).toBe(scene.upstream.requests[0]?.headers["via"]);
  });

  it("has its forwarding headers replaced if its peer is not trusted", async () => {
    await request(scene.proxy.port, method, target, { ...options, headers: CLAIMED });
    const headers = scene.upstream.requests[0]?.headers;
    expect(headers).toMatchObject({
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "glance.test",
    });
    expect(headers).not.toHaveProperty("forwarded");
  });

  it("keeps its forwarding headers if its peer is trusted", async () => {
    const trusting = await scene.startAnother({ forwarded: { trust: ["127.0.0.0/8"] } });
    await request(trusting.port, method, target, { ...options, headers: CLAIMED });
    expect(scene.upstream.requests[0]?.headers).toMatchObject({
      "x-forwarded-for": "203.0.113.1, 127.0.0.1",
      "x-forwarded-proto": "https",
      "x-forwarded-host": "cloud.test",
      forwarded: "for=203.0.113.1;proto=https, for=127.0.0.1;proto=http",
    });
  });

  it("loses hop-by-hop headers, what Connection names, and names with an underscore", async () => {
    await request(scene.proxy.port, method, target, {
      ...options,
      headers: {
        Connection: "close, X-Named",
        "X-Named": "1",
        TE: "trailers",
        "Keep-Alive": "x",
        "Proxy-Authorization": "x",
        X_Under_Score: "1",
        "X-Kept": "1",
      },
    });
    const headers = scene.upstream.requests[0]?.headers ?? {};
    expect(headers["x-kept"]).toBe("1");
    for (const name of ["x-named", "te", "keep-alive", "proxy-authorization", "x_under_score"]) {
      expect(headers).not.toHaveProperty(name);
    }
  });

  it("gets 508 if it has passed through this proxy before", async () => {
    const [looped, first] = await Promise.all([
      scene.startAnother({}),
      request(scene.proxy.port, method, target, options),
    ]);
    const via = first.headers["via"] ?? "";
    const again = await request(scene.proxy.port, method, target, { ...options, headers: { Via: via } });
    expect(again.status).toBe(508);
    expect(scene.upstream.requests).toHaveLength(1);
    expect(
      (await request(looped.port, method, target, { ...options, headers: { Via: via } })).status,
    ).toBeLessThan(300);
    expect(scene.upstream.requests.at(-1)?.headers["via"]).toMatch(/^1\.1 glance\S+, 1\.1 glance\S+$/);
  });

  it("through two proxies in a row is served", async () => {
    const front = await scene.startAnother({}, scene.proxy.url);
    const answer = await request(front.port, method, target, options);
    expect(answer.status).toBeLessThan(300);
    expect(answer.headers["via"]?.split(", ")).toHaveLength(2);
  });
});

describe("an upload", () => {
  const scene = useScene();

  it("is forwarded at once, however short its last piece is", async () => {
    const setNoDelay = vi.spyOn(Socket.prototype, "setNoDelay");
    await request(scene.proxy.port, "PUT", FILE, { body: "hello" });
    expect(setNoDelay).toHaveBeenCalled();
  });
});

describe("a name with an underscore", () => {
  const scene = useScene();

  it("is logged once, however often it comes", async () => {
    for (let time = 0; time < 3; time += 1) {
      await request(scene.proxy.port, "GET", "/v2/images", { headers: { Content_Length: 5, X_Other: "1" } });
    }
    const reported = scene.proxy.logged.filter(({ level }) => level === "warn").map(({ header }) => header);
    expect(reported).toEqual(["content_length", "x_other"]);
  });
});

describe("the proxy's own answers", () => {
  const scene = useScene({ cors: { allowedOrigins: ["https://horizon.test"] } });
  const OWN_ID = "req-01234567-89ab-cdef-0123-456789abcdef";

  /** Refused by the upload's checks, by the guard of every request, and for their target. */
  const refused = [
    ["an upload", "PUT", FILE, { ...CHUNKED, [SIZE]: "x" }],
    ["a request", "DELETE", "/v2/images/one", CHUNKED],
    ["a target", "GET", "/v2/..", {}],
  ] as const;

  it.each(refused)("carry a request id: %s", async (_, method, target, headers) => {
    const answer = await request(scene.proxy.port, method, target, { headers });
    expect(answer.status).toBe(400);
    const requestId = answer.headers["x-openstack-request-id"];
    expect(requestId).toMatch(/^req-[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/);
    expect(scene.proxy.logged).toContainEqual(
      expect.objectContaining({ requestId, status: 400, reason: expect.any(String) as string }),
    );
  });

  it.each(refused)("carry the client's own id if it is valid: %s", async (_, method, target, headers) => {
    const ask = (id: string) =>
      request(scene.proxy.port, method, target, { headers: { ...headers, "X-Openstack-Request-Id": id } });
    expect((await ask(OWN_ID)).headers["x-openstack-request-id"]).toBe(OWN_ID);
    expect((await ask("req-<script>")).headers["x-openstack-request-id"]).toMatch(/^req-[0-9a-f-]{36}$/);
  });

  it.each(refused)(
    "can be read by scripts of a listed origin only: %s",
    async (_, method, target, headers) => {
      const ask = (origin: string) =>
        request(scene.proxy.port, method, target, { headers: { ...headers, Origin: origin } });
      const allowed = await ask("https://horizon.test");
      expect(allowed.headers).toMatchObject({
        "access-control-allow-origin": "https://horizon.test",
        vary: "Origin",
      });
      for (const origin of [
        "https://evil.test",
        "null",
        "https://horizon.test.evil.test",
        "http://horizon.test",
      ]) {
        expect((await ask(origin)).headers).not.toHaveProperty("access-control-allow-origin");
      }
    },
  );

  it("Glance's own answers are left to Glance", async () => {
    const answer = await request(scene.proxy.port, "GET", "/v2/images", {
      headers: { Origin: "https://horizon.test", "X-Openstack-Request-Id": OWN_ID },
    });
    expect(answer.headers).not.toHaveProperty("access-control-allow-origin");
    expect(answer.headers).not.toHaveProperty("x-openstack-request-id");
    expect(scene.upstream.requests[0]?.headers["x-openstack-request-id"]).toBe(OWN_ID);
  });
});

describe("a browser that asks whether it may send x-openstack-image-size", () => {
  const scene = useScene({ cors: { allowedOrigins: ["https://horizon.test", "*"] } });
  const ASKED = "access-control-request-headers";
  const ANSWERED = "access-control-allow-headers";

  interface Question {
    readonly origin?: string;
    readonly asked?: string;
    readonly target?: string;
    readonly answer?: Record<string, string>;
    readonly port?: number;
  }

  async function ask(question: Question) {
    const { origin = "https://horizon.test", asked = "content-type,x-auth-token,x-openstack-image-size" } =
      question;
    scene.upstream.onOther = (_, response) => {
      response.writeHead(200, question.answer ?? { "Access-Control-Allow-Origin": origin }).end();
    };
    const { port = scene.proxy.port, target = FILE } = question;
    const { headers } = await request(port, "OPTIONS", target, {
      headers: {
        Origin: origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": asked,
      },
    });
    return { headers, seen: scene.upstream.requests.at(-1)?.headers };
  }

  it("is told so if Glance allows the other headers", async () => {
    const { headers, seen } = await ask({
      answer: {
        "Access-Control-Allow-Origin": "https://horizon.test",
        "Access-Control-Allow-Headers": "content-type,x-auth-token",
      },
    });
    expect(seen?.[ASKED]).toBe("content-type,x-auth-token");
    expect(headers[ANSWERED]).toBe("content-type,x-auth-token,x-openstack-image-size");
    expect(headers["access-control-allow-origin"]).toBe("https://horizon.test");
  });

  it("is told so if it asks for nothing else", async () => {
    const { headers, seen } = await ask({ asked: " X-OpenStack-Image-Size ", target: STAGE });
    expect(seen).not.toHaveProperty(ASKED);
    expect(headers[ANSWERED]).toBe("x-openstack-image-size");
  });

  it("gets Glance's answer as it is if Glance does not allow the origin", async () => {
    const { headers } = await ask({ answer: { "X-Other": "1" } });
    expect(headers).not.toHaveProperty(ANSWERED);
    expect(headers).not.toHaveProperty("access-control-allow-origin");
  });

  it.each([
    ["for something else", { target: "/v2/images/one" }],
    ["without that header", { asked: "content-type" }],
  ])("changes nothing in a question %s", async (_, question) => {
    const { headers, seen } = await ask({ ...question, answer: { "Access-Control-Allow-Origin": "*" } });
    expect(seen?.[ASKED]).toBe(
      "asked" in question ? question.asked : "content-type,x-auth-token,x-openstack-image-size",
    );
    expect(headers).not.toHaveProperty(ANSWERED);
  });

  it("changes nothing for an origin that is not in cors.allowedOrigins", async () => {
    const { port } = await scene.startAnother({ cors: { allowedOrigins: ["https://other.test"] } });
    const { headers, seen } = await ask({ port });
    expect(seen?.[ASKED]).toBe("content-type,x-auth-token,x-openstack-image-size");
    expect(headers).not.toHaveProperty(ANSWERED);
  });

  it("reads refusals with credentials if its origin is listed, and without them through *", async () => {
    const refused = async (origin: string) =>
      (await request(scene.proxy.port, "PUT", FILE, { headers: { ...CHUNKED, [SIZE]: "x", Origin: origin } }))
        .headers;
    expect(await refused("https://horizon.test")).toMatchObject({
      "access-control-allow-origin": "https://horizon.test",
      "access-control-allow-credentials": "true",
    });
    const others = await refused("https://any.test");
    expect(others["access-control-allow-origin"]).toBe("*");
    expect(others).not.toHaveProperty("access-control-allow-credentials");
  });
});

describe("listen.pathPrefix", () => {
  const scene = useScene({ listen: { pathPrefix: "/image" } });

  it("is removed from the path", async () => {
    await request(scene.proxy.port, "GET", "/image/v2/images?a=/image");
    await request(scene.proxy.port, "PUT", `/image${FILE}`, { body: "hello" });
    expect(scene.upstream.requests.map(({ target }) => target)).toEqual(["/v2/images?a=/image", FILE]);
    expect(scene.upstream.uploads[0]?.headers[SIZE]).toBe("5");
  });

  it.each([FILE, "/v2/images", "/imagev2/images"])("%s outside of it gets 404", async (target) => {
    expect((await request(scene.proxy.port, "PUT", target, { body: "x" })).status).toBe(404);
    expect(scene.upstream.requests).toEqual([]);
  });
});
