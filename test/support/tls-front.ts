/** Puts TLS between tests that speak plain HTTP and a proxy that serves HTTPS. Passes on how each side ends the connection. */
import { once } from "node:events";
import { rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import { connect as connectTls } from "node:tls";
import { type Certificate, createAuthority } from "./certificates.js";

/** Whether tests reach the proxy over TLS: for what reads the connections of clients. */
export const isTlsUnderTest = process.env["TEST_OVER_TLS"] === "true";

let certificate: ReturnType<typeof issueCertificate> | undefined;

/** One for all proxies of this process. */
export function certificateForFront(): ReturnType<typeof issueCertificate> {
  certificate ??= issueCertificate();
  return certificate;
}

async function issueCertificate(): Promise<Pick<Certificate, "certFile" | "keyFile">> {
  const authority = await createAuthority();
  process.once("exit", () => rmSync(dirname(authority.certFile), { recursive: true, force: true }));
  const { certFile, keyFile } = await authority.issue("127.0.0.1");
  return { certFile, keyFile };
}

export interface TlsFront {
  readonly port: number;
  stop(): void;
}

export async function startTlsFront(proxyPort: number): Promise<TlsFront> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const wire = connect({ port: proxyPort, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const proxy = connectTls({ socket: wire, rejectUnauthorized: false });
    open.add(client);
    client.once("close", () => open.delete(client));
    client.pipe(proxy).pipe(client);
    client.on("error", () => wire.resetAndDestroy());
    proxy.on("error", () => client.resetAndDestroy());
    wire.on("error", () => client.resetAndDestroy());
    proxy.once("close", () => client.end());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    stop() {
      server.close();
      for (const client of open) client.destroy();
    },
  };
}
