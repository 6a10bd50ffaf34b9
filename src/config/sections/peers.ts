/** The keys of the side towards clients and operators. Part of the schema. */
import { z } from "zod";
import { listenTls } from "../tls-keys.js";
import { listenAddress, network, origin } from "../values.js";

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
      "Address and port for metrics, health checks and the live page. There is no authentication: keep it " +
        "private.",
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
