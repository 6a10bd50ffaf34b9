/** Sockets from outside: which variables are believed, and that they are not passed on. */
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../src/config/load.js";
import { takeInherited } from "../../src/inherited.js";

const config = parseConfig({
  upstream: { url: "http://glance.test" },
  listen: { address: "[::1]:9292" },
  admin: { address: "127.0.0.1:9190" },
});

function descriptors(env: Record<string, string>) {
  const closed: number[] = [];
  const used = takeInherited(env, (descriptor) => void closed.push(descriptor)).descriptorsFor(config);
  return closed.length === 0 ? used : { ...used, closed };
}

describe("from an older process", () => {
  const from = (opened: object) => ({ GLANCE_SIZE_PROXY_PREDECESSOR: JSON.stringify(opened) });

  it("the descriptors of equal addresses are used", () => {
    const env = from({ listen: "[::1]:9292", admin: "127.0.0.1:9190" });
    expect(takeInherited({ ...env })).toMatchObject({ hasPredecessor: true });
    expect(descriptors(env)).toEqual({ listen: 3, admin: 4 });
  });

  it("an address that has changed is opened anew, and the old socket is closed: nobody would serve it", () => {
    const env = from({ listen: "[::1]:9293", admin: "127.0.0.1:9190" });
    expect(descriptors(env)).toEqual({ admin: 4, closed: [3] });
  });

  it.each(["x", "{}", ""])("%j from somebody else is a fault", (text) => {
    expect(() => descriptors({ GLANCE_SIZE_PROXY_PREDECESSOR: text })).toThrow(
      /^GLANCE_SIZE_PROXY_PREDECESSOR: only/,
    );
  });
});

describe("from systemd", () => {
  const own = { LISTEN_PID: String(process.pid) };

  it.each([
    [{ LISTEN_FDS: "1" }, { listen: 3 }],
    [{ LISTEN_FDS: "1", LISTEN_FDNAMES: "glance-size-proxy.socket" }, { listen: 3 }],
    [{ LISTEN_FDS: "1", LISTEN_FDNAMES: "admin" }, { admin: 3 }],
    [
      { LISTEN_FDS: "2", LISTEN_FDNAMES: "admin:listen" },
      { admin: 3, listen: 4 },
    ],
  ])("%j is %j", (env, expected) => {
    expect(descriptors({ ...own, ...env })).toEqual(expected);
  });

  it("what is meant for another process is ignored", () => {
    expect(descriptors({ LISTEN_PID: "1", LISTEN_FDS: "1" })).toEqual({});
    expect(descriptors({ LISTEN_FDS: "1" })).toEqual({});
  });

  it.each(["", "listen", "listen:listen", "listen:other"])("two sockets named %j are a fault", (names) => {
    const env = { ...own, LISTEN_FDS: "2", LISTEN_FDNAMES: names };
    expect(() => takeInherited(env)).toThrow(/^LISTEN_FDNAMES: .*: must be listen and admin/);
  });
});

it("the variables are removed, so that no other process believes them", () => {
  const env = { LISTEN_PID: "1", LISTEN_FDS: "1", LISTEN_FDNAMES: "x", PATH: "/bin" };
  takeInherited(env);
  expect(env).toEqual({ PATH: "/bin" });
});
