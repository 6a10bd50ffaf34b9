/** Explains why no answer came from `upstream.url`. */
import { isIP } from "node:net";
import { connect as connectTls } from "node:tls";
import { createGlanceClient, type NoAnswer } from "./glance-client.js";
import { GIVE_GLANCE, type NotGlance, notGlance, SIDE_TIMEOUT_MS, type Upstream } from "./not-glance.js";

export async function explainNoAnswer(upstream: Upstream, error: NoAnswer): Promise<NotGlance> {
  const { code, message } = error;
  const known = explainConnection(code, message) ?? explainCertificate(error);
  if (known) return known;
  if (isPlain(upstream)) {
    if (await speaksTls(upstream)) return explainTlsPort(upstream);
  } else if (upstream.url.protocol === "https:" && (await speaksPlainHttp(upstream))) {
    return notGlance(
      "plain_port",
      `this port does not speak TLS (${code})`,
      `set upstream.url to http://${upstream.url.host}`,
    );
  }
  if (code === "TOO_SLOW") {
    return notGlance(
      "too_slow",
      `the connection opened, but there was ${message}`,
      "check whether all of Glance's workers are busy, or Glance hangs",
    );
  }
  return /^(ERR_SSL|EPROTO)/.test(code)
    ? explainHandshake(code, message)
    : notGlance("no_answer", message, `check Glance's log, or ${GIVE_GLANCE}`);
}

function explainConnection(code: string, message: string): NotGlance | undefined {
  switch (code) {
    case "ECONNREFUSED":
      return notGlance("refused", message, "start Glance, or correct the host and port of upstream.url");
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return notGlance(
        "unknown_name",
        message,
        "correct the host name in upstream.url, or this machine's name resolution",
      );
    case "GLANCE_CONNECT_TIMEOUT":
    case "ETIMEDOUT":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return notGlance(
        "no_way",
        message,
        "correct the host and port of upstream.url, or open the firewall between the proxy and Glance",
      );
    case "ENOENT":
    case "EACCES":
      return notGlance(
        "no_socket",
        message,
        "correct the path in upstream.url, or allow the proxy's user to read and write the socket",
      );
    default:
      return undefined;
  }
}

/** Explains OpenSSL's errors about Glance's certificate. */
function explainCertificate({ code, cause }: NoAnswer): NotGlance | undefined {
  switch (code) {
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
      return notGlance(
        "self_signed",
        `Glance's certificate is self-signed (${code})`,
        "set upstream.tls.caFile to that certificate, or to its CA",
      );
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      return notGlance(
        "unknown_authority",
        `Glance's certificate is from a CA that the proxy does not know (${code})`,
        "set upstream.tls.caFile to the CA's certificate",
      );
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      return notGlance(
        "unknown_authority",
        `Glance's certificate is from a CA that the proxy does not know, or its chain is incomplete (${code})`,
        "set upstream.tls.caFile to the CA's certificate, or configure Glance to send the whole chain",
      );
    case "CERT_HAS_EXPIRED":
      return notGlance("expired", `Glance's certificate has expired (${code})`, "renew the certificate");
    case "CERT_NOT_YET_VALID":
      return notGlance(
        "not_yet_valid",
        `Glance's certificate is not valid yet (${code})`,
        "correct this machine's clock, or Glance's",
      );
    case "ERR_TLS_CERT_ALTNAME_INVALID": {
      const { cert } = cause as { cert?: { subjectaltname?: string } };
      return notGlance(
        "wrong_name",
        `Glance's certificate is for other names: ${cert?.subjectaltname ?? "none"} (${code})`,
        "use one of these names in upstream.url or upstream.tls.servername",
      );
    }
    default:
      return undefined;
  }
}

function explainHandshake(code: string, message: string): NotGlance {
  return /ALERT/.test(code)
    ? explainClientCertificate(code)
    : notGlance("tls", message, "compare the TLS versions and ciphers of both sides");
}

export function explainClientCertificate(code?: string): NotGlance {
  return notGlance(
    "wants_certificate",
    `Glance refuses the TLS connection, probably because the proxy presented no client certificate${code === undefined ? "" : ` (${code})`}`,
    "set upstream.tls.certFile and upstream.tls.keyFile to a client certificate that Glance accepts",
  );
}

export function explainTlsPort({ url }: Upstream): NotGlance {
  return notGlance(
    "tls_port",
    "this port speaks TLS, not plain HTTP",
    `set upstream.url to https://${url.host}`,
  );
}

export function isPlain({ url }: Upstream): boolean {
  return url.protocol === "http:";
}

/** Tries a TLS handshake. A TLS alert also proves that the port speaks TLS. */
export function speaksTls({ url }: Upstream): Promise<boolean> {
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return new Promise((resolve) => {
    const socket = connectTls({
      host,
      port: Number(url.port === "" ? 80 : url.port),
      servername: isIP(host) === 0 ? host : "",
      rejectUnauthorized: false,
    });
    const settle = (speaks: boolean): void => {
      socket.destroy();
      resolve(speaks);
    };
    socket.setTimeout(SIDE_TIMEOUT_MS, () => settle(false));
    socket.once("secureConnect", () => settle(true));
    socket.on("error", ({ code }: NodeJS.ErrnoException) => settle(/ALERT/.test(code ?? "")));
    socket.once("close", () => settle(false));
  });
}

async function speaksPlainHttp(upstream: Upstream): Promise<boolean> {
  const url = new URL(upstream.url);
  const { port } = url;
  url.protocol = "http:";
  url.port = port === "" ? "443" : port;
  return createGlanceClient({ ...upstream, url }, undefined, SIDE_TIMEOUT_MS)
    .ask("GET", "/versions")
    .then(
      () => true,
      () => false,
    );
}
