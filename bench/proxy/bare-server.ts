/**
 * What stands around a bare proxy library. Its arguments: the URL of Glance, and for HTTPS the files of a certificate and of
 * its key.
 */
import { readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

const [url = "", certFile, keyFile] = process.argv.slice(2);

/** Host and port only because the libraries' types want them. */
export const target = url.startsWith("unix:")
  ? { socketPath: url.slice("unix:".length), host: "localhost", port: 80 }
  : url;

export function serve(handle: RequestListener): void {
  const server =
    certFile !== undefined && keyFile !== undefined
      ? createTlsServer(
          { requestTimeout: 0, cert: readFileSync(certFile), key: readFileSync(keyFile) },
          handle,
        )
      : createServer({ requestTimeout: 0 }, handle);
  server.listen(0, "127.0.0.1", () => {
    process.stdout.write(`${String((server.address() as AddressInfo).port)}\n`);
  });
}

export function fail(error: unknown, response: { destroy(): unknown }): void {
  process.stderr.write(`${String(error)}\n`);
  response.destroy();
}
