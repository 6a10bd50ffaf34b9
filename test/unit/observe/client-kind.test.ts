import { expect, it } from "vitest";
import { clientKind } from "../../../src/observe/client-kind.js";

it.each([
  ["python-glanceclient", "glanceclient"],
  ["python-glanceclient/4.2.0", "glanceclient"],
  ["openstacksdk/4.4.0 keystoneauth1/5.10.0 python-requests/2.32.3 CPython/3.13.5", "openstacksdk"],
  ["python-openstackclient/6.0.0", "openstacksdk"],
  ["gophercloud/v2.1.0", "gophercloud"],
  ["HashiCorp Terraform/1.9.0 (+https://www.terraform.io) gophercloud/v1.8.0", "gophercloud"],
  ["curl/7.88.1", "curl"],
  ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "browser"],
  ["libcurl-agent/1.0", "other"],
  ["Go-http-client/1.1", "other"],
  ["", "other"],
  [undefined, "other"],
])("%s is counted as %s", (userAgent, kind) => {
  expect(clientKind(userAgent)).toBe(kind);
});
