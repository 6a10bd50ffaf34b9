/**
 * Identifies the service at `upstream.url`. Sends no token: another service could misuse it. If the service is not Glance, explains
 * which service it is and what to change.
 */
import { createGlanceClient, type GlanceAnswer, type NoAnswer } from "./glance-client.js";
import {
  explainClientCertificate,
  explainNoAnswer,
  explainTlsPort,
  isPlain,
  speaksTls,
} from "./no-answer.js";
import { GIVE_GLANCE, type NotGlance, notGlance, SIDE_TIMEOUT_MS, type Upstream } from "./not-glance.js";
import { readService, type Service } from "./service.js";

export interface FoundGlance {
  readonly found: "glance";
  readonly version: string;
  readonly answer: GlanceAnswer;
}

export async function findGlance(upstream: Upstream): Promise<FoundGlance | NotGlance> {
  const stranger = createGlanceClient(upstream, undefined);
  let answer: GlanceAnswer;
  try {
    answer = await stranger.ask("GET", "/versions");
  } catch (error) {
    return explainNoAnswer(upstream, error as NoAnswer);
  }
  const service = readService(answer);
  if (service.kind === "glance") return { found: "glance", version: service.version, answer };
  if (service.kind === "proxy") return explainProxy();
  // Apache and nginx answer plain HTTP on a TLS port; others do not answer.
  if (isPlain(upstream) && answer.status === 400 && (await speaksTls(upstream)))
    return explainTlsPort(upstream);
  // A redirect or a gateway error applies to every path, so no other path is tried.
  if (service.kind === "redirect" || service.kind === "gateway")
    return explainService(upstream, service, answer);
  // Other OpenStack services serve their version list at `/`.
  const root = await stranger.ask("GET", "/").then(readService, () => service);
  return (
    (await searchOtherPaths(upstream)) ??
    explainService(upstream, root.kind === "openstack" ? root : service, answer)
  );
}

function explainProxy(): NotGlance {
  return notGlance("proxy", "this is glance-size-proxy itself, not Glance", "give the address of Glance");
}

function explainService(upstream: Upstream, service: Service, answer: GlanceAnswer): NotGlance {
  const { status, headers } = answer;
  const name = [headers["server"] ?? ""].flat().join();
  const server = name === "" ? "" : ` (${name})`;
  switch (service.kind) {
    case "openstack":
      return service.name === undefined
        ? notGlance("openstack", "this answers like an OpenStack service, but not like Glance", GIVE_GLANCE)
        : notGlance(service.name.toLowerCase(), `this is ${service.name}, not Glance`, GIVE_GLANCE);
    case "redirect":
      return explainRedirect(upstream, status, service.location);
    case "gateway":
      return notGlance(
        "gateway",
        `a load balancer or web server${server} answered ${status}: it cannot reach Glance`,
        "start Glance, or correct the load balancer's list of servers",
      );
    case "guarded":
      return notGlance(
        "guarded",
        `not a Glance: /versions answered ${status}${server}, but Glance serves /versions without authentication`,
        GIVE_GLANCE,
      );
    case "wants-certificate":
      return explainClientCertificate();
    case "web-page":
      return notGlance(
        "web_page",
        `not a Glance: /versions answered ${status} with a web page${server}`,
        `correct the port and path of upstream.url, or ${GIVE_GLANCE}`,
      );
    case "glance-elsewhere":
      return notGlance(
        "wrong_path",
        `Glance answered, but it does not know the path ${JSON.stringify(upstream.url.pathname)}`,
        "correct the path of upstream.url",
      );
    case "proxy":
    case "glance":
    case "unknown":
      return notGlance(
        "unknown",
        `not a Glance: /versions answered ${status}${server} without image API versions`,
        GIVE_GLANCE,
      );
  }
}

function explainRedirect(upstream: Upstream, status: number, location: string): NotGlance {
  const detail = `/versions answered ${status}, a redirect`;
  let target: URL;
  try {
    target = new URL(location, upstream.url);
  } catch {
    return notGlance("redirect", detail, GIVE_GLANCE);
  }
  const to = `${target.origin}${target.pathname.replace(/\/versions\/?$/, "").replace(/\/+$/, "")}`;
  return notGlance(
    "redirect",
    `${detail} to ${to}`,
    `set upstream.url to the target, such as ${to}: the proxy does not follow redirects`,
  );
}

/** Tries DevStack's path `/image`, and each parent of the given path. */
async function searchOtherPaths(upstream: Upstream): Promise<NotGlance | undefined> {
  const { url } = upstream;
  if (url.protocol === "unix:") return undefined;
  const given = url.pathname.replace(/\/+$/, "");
  const parts = given.split("/").slice(1);
  const shorter = parts.map((_, index) => ["", ...parts.slice(0, parts.length - 1 - index)].join("/"));
  for (const path of new Set([...shorter, "/image"])) {
    if (path === given) continue;
    const elsewhere = new URL(url);
    elsewhere.pathname = path;
    const found = await createGlanceClient({ ...upstream, url: elsewhere }, undefined, SIDE_TIMEOUT_MS)
      .ask("GET", "/versions")
      .then(readService, () => undefined);
    if (found?.kind !== "glance") continue;
    const address = `${url.origin}${path}`;
    return given === ""
      ? notGlance(
          "wrong_path",
          `no Glance at this address, but found one at ${address}`,
          `set upstream.url to ${address}`,
        )
      : notGlance(
          "wrong_path",
          `no Glance at the path ${given}, but found one at ${address}`,
          `set upstream.url to ${address}`,
        );
  }
  return undefined;
}
