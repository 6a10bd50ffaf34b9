import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    globalSetup: "test/support/build.ts",
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 10_000 } },
    // Machines that test are shared and may stall for longer than a test's timeouts. A retry is reported: look into it.
    retry: process.env["CI"] === "true" ? 1 : 0,
    projects: [
      { extends: true, test: { name: "stream", include: ["test/**/*.test.ts"] } },
      {
        // What has to do with uploads, once more over the other relay, small bodies too.
        extends: true,
        test: {
          name: "raw",
          include: ["test/{clients,e2e,faults,hostile,load}/**/*.test.ts", "test/contract/proxied-*.test.ts"],
          env: { GLANCE_SIZE_PROXY_UPLOAD__RELAY: "raw" },
        },
      },
    ],
  },
});
