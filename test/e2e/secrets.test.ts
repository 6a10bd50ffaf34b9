/** What must never be seen in a log, a metric or a page. */
import { expect, it } from "vitest";
import { request } from "../support/raw-http.js";
import { CHUNKED, FILE, SIZE, useScene } from "./scene.js";

/** Everything that can be logged is. */
const log = { access: "all", owner: true } as const;
const scene = useScene({ rollback: { timeout: "200ms", interval: "10ms" }, log });
const CANARY = "canary7f3a";

const SECRETS = {
  "X-Auth-Token": `${CANARY}-auth`,
  "X-Service-Token": `${CANARY}-service`,
  "X-Subject-Token": `${CANARY}-subject`,
  Authorization: `Bearer ${CANARY}-bearer`,
  Cookie: `session=${CANARY}-cookie`,
};

it("tokens and queries go to Glance and nowhere else", async () => {
  const { proxy, upstream } = scene;
  const ask = (method: string, target: string, headers = {}, body?: string, port = proxy.port) =>
    request(port, method, target, {
      headers: { ...SECRETS, ...headers },
      ...(body === undefined ? {} : { body }),
    });
  const chunks = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
  const query = `?secret=${CANARY}-query`;

  await ask("GET", `/v2/images${query}`);
  await ask("PUT", FILE + query, {}, "hello");
  await ask("PUT", FILE + query, { ...CHUNKED, [SIZE]: 5 }, chunks("hello!"));
  await ask("PUT", FILE + query, { ...CHUNKED, [SIZE]: 5 }, chunks("hell"));
  await ask("PUT", FILE + query, { ...CHUNKED, [SIZE]: "x" }, chunks("hello"));
  upstream.imageStatus = "active";
  await ask("PUT", FILE + query, { ...CHUNKED, [SIZE]: 5 }, chunks("hello!"));
  upstream.onUpload = (incoming) => void incoming.socket.destroy();
  await ask("PUT", FILE + query, {}, "hello");
  upstream.onUpload = (_incoming, response) => void response.writeHead(401).end();
  await ask("PUT", FILE + query, {}, "hello");
  await ask("GET", `/v2/..${query}`);
  await ask("GET", `/v2/images#${query}`);
  await ask("GET", `http://user:${CANARY}-password@glance.test/v2/images${query}`);
  await ask("GET", `/v2/images${query}&_method=PUT`);
  await ask("DELETE", `/v2/images/one${query}`, CHUNKED);
  await ask("GET", `/v2/images${query}`, { X_Odd: `${CANARY}-odd` });
  const uri = `http://mirror.test/image.qcow2${query}`;
  await ask("POST", "/v2/images/one/import", {}, JSON.stringify({ method: { name: "web-download", uri } }));
  upstream.onOther = (incoming) => void incoming.socket.destroy();
  await ask("GET", `/v2/images${query}`);
  await ask("GET", "/v2/images", { "X-Auth-Token": CANARY + "t".repeat(70_000) });
  const broken = await scene.connect();
  broken.send(
    `PUT ${FILE}${query} HTTP/1.1\r\nHost: a\r\nX-Auth-Token: ${CANARY}\r\nbroken ${CANARY}\r\n\r\n`,
  );
  await broken.response();
  const alone = await scene.startAnother({ log }, "http://127.0.0.1:1");
  await ask("GET", `/v2/images${query}`, {}, undefined, alone.port);
  await ask("PUT", FILE + query, {}, "hello", alone.port);

  // They did get there, so that looking for them elsewhere means something.
  expect(
    upstream.requests.filter(({ headers }) => headers["x-auth-token"]?.includes(CANARY)).length,
  ).toBeGreaterThan(5);
  expect(upstream.requests.some(({ target }) => target.includes(CANARY))).toBe(true);
  for (const each of [proxy, alone]) {
    expect(each.logged.length).toBeGreaterThan(1);
    expect(JSON.stringify(each.logged)).not.toContain(CANARY);
    expect(each.logged.some(({ msg }) => msg === "request" || msg === "request refused")).toBe(true);
    for (const page of ["/metrics", "/uploads", "/uploads?q=one", "/livez", "/readyz"]) {
      expect((await request(each.adminPort, "GET", page)).text).not.toContain(CANARY);
    }
  }
});
