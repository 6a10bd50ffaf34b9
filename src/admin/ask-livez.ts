/** Asks a running proxy for `/livez`, as `glance-size-proxy healthcheck` does. */
import { get as getHttp, type RequestOptions } from "node:http";
import { get as getHttps } from "node:https";
import type { Config } from "../config/config.js";

/** Milliseconds. With the start of the command still shorter than the timeout of the Dockerfile's HEALTHCHECK: the reason is printed. */
const ANSWER_TIMEOUT_MS = 3_000;

/** Needs neither a token nor a client certificate. @returns why the proxy is not live; undefined if it is. */
export async function askLivez({ address, tls }: Config["admin"]): Promise<string | undefined> {
  const options = {
    ...address,
    path: "/livez",
    agent: false,
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    // The certificate names the machine as operators reach it. This request does not leave the machine, and has no secret.
    rejectUnauthorized: false,
  };
  const where = `${tls.certFile === undefined ? "http" : "https"} on ${address.host}, port ${address.port}`;
  try {
    const status = await statusOf(tls.certFile === undefined ? getHttp : getHttps, options);
    return status === 200 ? undefined : `${where}: /livez answers ${status}`;
  } catch (error) {
    return `${where}: ${(error as Error).message}`;
  }
}

function statusOf(get: typeof getHttp, options: RequestOptions): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(options, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).once("error", reject);
  });
}
