/** A record of the requests and uploads that the stand-in Glance received, for the demo's table and for tests. */
import type { IncomingMessage } from "node:http";
import type { UploadOperation } from "./images.js";

export interface ObservedRequest {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
}

/** One PUT of image data. The header fields are undefined if the header was absent. */
export interface ObservedUpload {
  readonly imageId: string;
  readonly operation: UploadOperation;
  readonly rawHeaders: readonly string[];
  readonly contentLength: string | undefined;
  readonly transferEncoding: string | undefined;
  readonly expect: string | undefined;
  readonly imageSizeHeader: string | undefined;
  /** Bytes of the body read so far, after transfer-decoding. */
  readonly bytesRead: number;
  /** `refused`: answered before the body was read. `aborted`: the body broke off, or its image was deleted or imported meanwhile. */
  readonly state: UploadState;
  /** Resolves when `state` is final and the image has its new status. Never rejects. */
  readonly ended: Promise<void>;
}

export type UploadState = "reading" | "completed" | "aborted" | "refused";

export class UploadRecord implements ObservedUpload {
  readonly imageId: string;
  readonly operation: UploadOperation;
  readonly rawHeaders: readonly string[];
  readonly contentLength: string | undefined;
  readonly transferEncoding: string | undefined;
  readonly expect: string | undefined;
  readonly imageSizeHeader: string | undefined;
  readonly ended: Promise<void>;
  bytesRead = 0;
  state: UploadState = "reading";
  #resolveEnded: () => void = () => undefined;

  constructor(request: IncomingMessage, imageId: string, operation: UploadOperation) {
    const { headers } = request;
    const size = headers["x-openstack-image-size"];
    this.imageId = imageId;
    this.operation = operation;
    this.rawHeaders = request.rawHeaders;
    this.contentLength = headers["content-length"];
    this.transferEncoding = headers["transfer-encoding"];
    this.expect = headers.expect;
    this.imageSizeHeader = Array.isArray(size) ? size.join(", ") : size;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  end(state: Exclude<UploadState, "reading">): void {
    this.state = state;
    this.#resolveEnded();
  }
}
