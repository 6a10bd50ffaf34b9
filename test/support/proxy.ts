/** The proxy in this process, on free ports, with everything it logs kept. */
import { type ConfigInput, createServer, type Reload } from "../../src/index.js";
import { createLog } from "../../src/observe/log.js";
import { type AdminReader, readAdmin } from "./admin.js";
import { certificateForFront, isTlsUnderTest, startTlsFront } from "./tls-front.js";

type Partially<T> = { [Key in keyof T]?: T[Key] | undefined };

export interface TestProxy extends AdminReader {
  readonly port: number;
  readonly adminPort: number;
  readonly url: string;
  /** Each line logged so far, parsed. */
  readonly logged: Record<string, unknown>[];
  drain(timeoutMs?: number): Promise<void>;
  reload(config?: TestProxyConfig): Promise<Reload>;
  stop(): void;
}

export type TestProxyConfig = Partially<Omit<ConfigInput, "upstream">> & {
  upstream?: Partially<ConfigInput["upstream"]>;
};

/** Which relay the tests run over; set for the command's processes by its very name. */
export function relayUnderTest(): "raw" | "stream" {
  return process.env["GLANCE_SIZE_PROXY_UPLOAD__RELAY"] === "raw" ? "raw" : "stream";
}

export async function startProxy(upstreamUrl: string, config: TestProxyConfig = {}): Promise<TestProxy> {
  const logged: Record<string, unknown>[] = [];
  const log = createLog("debug", {
    write: (line) => void logged.push(JSON.parse(line) as Record<string, unknown>),
  });
  const isBehindTls = isTlsUnderTest && config.listen?.tls === undefined;
  const tls = isBehindTls ? { tls: await certificateForFront() } : {};
  const complete = (keys: TestProxyConfig): ConfigInput => ({
    ...(keys as ConfigInput),
    upstream: { url: upstreamUrl, ...keys.upstream } as ConfigInput["upstream"],
    listen: { address: "127.0.0.1:0", ...tls, ...keys.listen },
    admin: { address: "127.0.0.1:0", ...keys.admin },
    upload: { relay: relayUnderTest(), ...keys.upload },
  });
  const server = createServer(complete(config), { log });
  const { listen, admin, relay, relayReason } = await server.start();
  const wanted = config.upload?.relay ?? relayUnderTest();
  if (wanted !== "stream" && relay !== "raw") {
    throw new Error(`the raw relay is to be tested, and it is not used: ${relayReason}`);
  }
  const front = isBehindTls ? await startTlsFront(Number(new URL(listen).port)) : undefined;
  const port = front?.port ?? Number(new URL(listen).port);
  const adminPort = Number(new URL(admin).port);
  return {
    port,
    adminPort,
    url: listen,
    logged,
    ...readAdmin(adminPort),
    drain: (timeoutMs = 0) => server.drain(timeoutMs),
    reload: (next) => server.reload(next && complete(next)),
    stop: () => {
      front?.stop();
      server.close();
    },
  };
}
