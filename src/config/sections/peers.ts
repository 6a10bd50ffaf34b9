/** The keys of the side towards clients and operators. Part of the schema. */
import { z } from "zod";
import { adminTls, listenTls } from "../tls-keys.js";
import { absolutePath, hostName, listenAddress, network, origin } from "../values.js";

export const listen = z.strictObject({
  address: listenAddress
    .prefault("0.0.0.0:9292")
    .describe("Address and port for clients. `[::1]:9292` is an IPv6 address. Port 0 takes a free port."),
  pathPrefix: z
    .string()
    .regex(/^(\/[A-Za-z0-9._~-]+)*$/)
    .meta({ takes: "a path without a trailing slash, such as /image, or empty" })
    .prefault("")
    .describe(
      "Path under which clients reach the proxy, such as `/image`. The proxy removes it before it forwards a " +
        "request to Glance.",
    ),
  tls: listenTls.prefault({}).describe("TLS for clients."),
});

export const admin = z.strictObject({
  address: listenAddress
    .prefault("127.0.0.1:9190")
    .describe(
      "Address and port for metrics, health checks and the live page. If other machines can reach it, set " +
        "`admin.tokenFile` or `admin.tls.clientCaFile`.",
    ),
  tls: adminTls.prefault({}).describe("TLS for operators."),
  tokenFile: absolutePath
    .optional()
    .describe(
      "File with one secret, without the white space around it. If set, every request except `/livez` and " +
        "`/readyz` must have it, as `Authorization: Bearer SECRET` or as the password of HTTP Basic with any user " +
        "name. Otherwise the answer is 401. Read again on SIGHUP.",
    ),
  hosts: z
    .array(hostName)
    .prefault([])
    .describe(
      "Names and addresses by which operators reach the admin address, such as `localhost`, without a port. If " +
        "set, a request whose `Host` names something else gets 421, except `/livez` and `/readyz`. That protects a " +
        "browser from web pages whose host name leads to the admin address (DNS rebinding).",
    ),
});

export const forwarded = z.strictObject({
  trust: z
    .array(network)
    .prefault([])
    .describe(
      "Peers (addresses or networks, such as 10.0.0.0/8) whose `Forwarded` and `X-Forwarded-*` headers are kept " +
        "and extended. The headers of all other peers are replaced.",
    ),
});

export const cors = z.strictObject({
  allowedOrigins: z
    .array(origin)
    .prefault([])
    .describe(
      "Origins (such as https://horizon.example) whose scripts may read the proxy's own answers and may send " +
        "`x-openstack-image-size`. `*` means every origin, without credentials. Use the same list as Glance's " +
        "`[cors] allowed_origin`: Glance itself decides which origins may upload.",
    ),
});
