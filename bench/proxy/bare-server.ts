/** The server in front of a bare proxy library. With the files of a certificate and its key as arguments 3 and 4 it serves HTTPS. */
import { readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

export function serve(handle: RequestListener): void {
  const [certFile, keyFile] = process.argv.slice(3);
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
