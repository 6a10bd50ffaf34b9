/** What Prometheus's own checker says of a live scrape. */
import { expect, it } from "vitest";
import { request } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";
import { FILE, SIZE, useScene } from "./scene.js";

describeWith(["promtool"], "promtool check metrics", () => {
  const scene = useScene();

  it("finds nothing wrong with the metrics", async () => {
    await request(scene.proxy.port, "PUT", FILE, { body: "hello" });
    await request(scene.proxy.port, "PUT", FILE, { body: "hello", headers: { [SIZE]: 4 } });
    await request(scene.proxy.port, "GET", "/v2/images");
    const { text } = await request(scene.proxy.adminPort, "GET", "/metrics");
    const result = await run("/usr/bin/promtool", ["check", "metrics"], { input: text });
    expect(result).toMatchObject({ code: 0, stdout: "", stderr: "" });
  });
});
