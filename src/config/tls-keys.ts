/** The part of the schema below `upstream.tls`, `listen.tls` and `admin.tls`. */
import { z } from "zod";

const pemFile = z
  .string()
  .min(1)
  .meta({ takes: "the path of a PEM file", example: "/etc/glance-size-proxy/tls.pem" });

/** Refuses a certificate without its key, and a key without its certificate. */
function wantsBoth(
  { certFile, keyFile }: { certFile?: string | undefined; keyFile?: string | undefined },
  context: z.RefinementCtx,
): void {
  for (const [given, missing, key] of [
    [certFile, keyFile, "keyFile"],
    [keyFile, certFile, "certFile"],
  ] as const) {
    if (given !== undefined && missing === undefined) {
      context.addIssue({
        code: "custom",
        path: [key],
        message: `missing: certFile and keyFile must be set together; set ${key}, or remove the other`,
      });
    }
  }
}

export const upstreamTls = z
  .strictObject({
    caFile: pemFile
      .optional()
      .describe(
        "CA bundle (PEM) used to verify Glance's certificate. Default: Node's built-in CAs, which usually do not " +
          "include the system's. Set it if a private CA signed the certificate. Read again on SIGHUP.",
      ),
    certFile: pemFile
      .optional()
      .describe("Client certificate (PEM) that the proxy presents to Glance. Read again on SIGHUP."),
    keyFile: pemFile.optional().describe("Private key of the client certificate. Read again on SIGHUP."),
    servername: z
      .string()
      .min(1)
      .optional()
      .meta({ takes: "a host name", example: "glance.internal" })
      .describe(
        "Host name that Glance's certificate must be valid for. Default: the host of `upstream.url`.",
      ),
    rejectUnauthorized: z
      .boolean()
      .prefault(true)
      .describe(
        "Refuse to connect to Glance if its certificate is not valid. If false, anyone on the network path can " +
          "read and change images.",
      ),
  })
  .superRefine(wantsBoth);

/** @param clientCa what `clientCaFile` means for the clients of this address. */
function serverTls(clientCa: string) {
  return z
    .strictObject({
      certFile: pemFile
        .optional()
        .describe(
          "Server certificate (PEM), followed by its chain. If set, the proxy serves HTTPS. Read again on SIGHUP.",
        ),
      keyFile: pemFile.optional().describe("Private key of the server certificate. Read again on SIGHUP."),
      clientCaFile: pemFile
        .optional()
        .describe(
          `CA bundle (PEM) used to verify client certificates. ${clientCa} Requires \`certFile\`. Read again on SIGHUP.`,
        ),
    })
    .superRefine(wantsBoth)
    .superRefine(({ certFile, clientCaFile }, context) => {
      // Without TLS, `clientCaFile` would have no effect: the proxy would accept every client over plain HTTP.
      if (clientCaFile !== undefined && certFile === undefined) {
        context.addIssue({
          code: "custom",
          path: ["certFile"],
          message: "missing: clientCaFile requires certFile and keyFile; set both, or remove clientCaFile",
        });
      }
    });
}

export const listenTls = serverTls("If set, every client must present one.");

export const adminTls = serverTls(
  "If set, every request except `/livez` and `/readyz` gets 403 unless the client presents one.",
);
