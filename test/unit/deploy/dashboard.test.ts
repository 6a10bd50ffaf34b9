/** The dashboard that Grafana reads is the one that the code builds. test/monitoring tests what is in it. */
import { format } from "prettier";
import { expect, it } from "vitest";
import { buildDashboard } from "../../../deploy/grafana/dashboard.js";
import { DASHBOARD_FILE } from "../../monitoring/deployed.js";

it("deploy/grafana/glance-size-proxy.json is what the code builds (write it anew with `npm run reference`)", async () => {
  const text = await format(JSON.stringify(buildDashboard()), { parser: "json", printWidth: 110 });
  await expect(text).toMatchFileSnapshot(`../../../${DASHBOARD_FILE}`);
});
