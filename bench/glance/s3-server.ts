/**
 * What Glance's S3 driver asks of an S3, in a process of its own. Bytes are counted and dropped: a real S3 is another
 * machine, so what stands in for it may take as little as possible of this one.
 */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Sizes by `/bucket/key`. */
const objects = new Map<string, number>();
/** Sizes by part number, by upload id. */
const multipartUploads = new Map<string, Map<string, number>>();

const server = createServer((request, response) => {
  let bytes = 0;
  request.on("data", (piece: Buffer) => (bytes += piece.length));
  request.once("end", () => answer(request, response, bytes));
});

function answer({ method, url = "" }: IncomingMessage, response: ServerResponse, bytes: number): void {
  const { pathname, searchParams } = new URL(url, "http://s3");
  const isBucket = pathname.split("/").length === 2;
  const parts = multipartUploads.get(searchParams.get("uploadId") ?? "");
  const stored = objects.get(pathname);
  response.setHeader("ETag", '"0"');
  switch (method) {
    case "HEAD":
      if (isBucket) response.end();
      else if (stored === undefined) response.writeHead(404).end();
      else response.writeHead(200, { "Content-Length": stored }).end();
      return;
    case "PUT":
      if (parts) parts.set(searchParams.get("partNumber") ?? "", bytes);
      else objects.set(pathname, bytes);
      response.end();
      return;
    case "POST":
      if (parts) {
        objects.set(
          pathname,
          [...parts.values()].reduce((sum, size) => sum + size, 0),
        );
        multipartUploads.delete(searchParams.get("uploadId") ?? "");
        response.end("<CompleteMultipartUploadResult/>");
      } else {
        const id = randomUUID();
        multipartUploads.set(id, new Map());
        response.end(
          `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
        );
      }
      return;
    case "DELETE":
      objects.delete(pathname);
      multipartUploads.delete(searchParams.get("uploadId") ?? "");
      response.writeHead(204).end();
      return;
    default:
      response.writeHead(405).end();
  }
}

// Never longer than the benchmark that it serves.
process.once("disconnect", () => process.exit());
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
