/** The proxy in this process, on free ports, with everything it logs kept. */
import { type ConfigInput, createServer } from "../../src/index.js";
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
  reload(): void;
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
  const server = createServer(
    {
      ...(config as ConfigInput),
      upstream: { url: upstreamUrl, ...config.upstream } as ConfigInput["upstream"],
      listen: { address: "127.0.0.1:0", ...tls, ...config.listen },
      admin: { address: "127.0.0.1:0", ...config.admin },
      upload: { relay: relayUnderTest(), ...config.upload },
    },
    { log },
  );
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
    reload: () => server.reload(),
    stop: () => {
      front?.stop();
      server.close();
    },
  };
}
