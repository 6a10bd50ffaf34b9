/** Asking a Glance as a client would, with the operator's token. */
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import { toUpstreamError, type Upstream } from "../proxy/upstream.js";

const TIMEOUT_MS = 30_000;

export interface GlanceAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Of a Glance behind TLS: when its certificate ends. */
  readonly certificateEnds: Date | undefined;
}

export interface AskedGlance {
  /** @throws where no answer comes: the message says why. */
  ask(
    method: string,
    path: string,
    request?: { headers?: Record<string, string>; body?: string },
  ): Promise<GlanceAnswer>;
  /** Sends a head and a part of the body that it announces. @returns what cuts the upload. */
  beginUpload(path: string, headers: Record<string, string>, part: string): () => void;
}

export function createAskedGlance(upstream: Upstream, token: string | undefined): AskedGlance {
  const open = (method: string, path: string, headers: Record<string, string>) =>
    upstream.request(
      method,
      path,
      Object.entries({
        accept: "application/json",
        ...(token === undefined ? {} : { "x-auth-token": token }),
        ...headers,
      }).map(([name, value]) => ({ name, value })),
    );
  return {
    async ask(method, path, { headers = {}, body = "" } = {}) {
      const length = body === "" ? {} : { "content-length": String(Buffer.byteLength(body)) };
      const request = open(method, path, { ...length, ...headers });
      const timer = setTimeout(
        () => request.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)),
        TIMEOUT_MS,
      );
      try {
        const answer = await new Promise<IncomingMessage>((resolve, reject) => {
          request.once("response", resolve).once("error", reject).end(body);
        });
        const { socket } = answer;
        const certificate = socket instanceof TLSSocket ? socket.getPeerCertificate() : undefined;
        let text = "";
        for await (const piece of answer.setEncoding("utf8")) text += String(piece);
        return {
          status: answer.statusCode ?? 0,
          headers: answer.headers,
          text,
          certificateEnds: certificate === undefined ? undefined : new Date(certificate.valid_to),
        };
      } catch (cause) {
        throw new Error(explain(cause), { cause });
      } finally {
        clearTimeout(timer);
      }
    },

    beginUpload(path, headers, part) {
      const request = open("PUT", path, headers);
      request.once("error", () => undefined); // it is cut
      request.write(part);
      return () => request.destroy();
    },
  };
}

function explain(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  return `${toUpstreamError(cause).message} (${code ?? message})`;
}
