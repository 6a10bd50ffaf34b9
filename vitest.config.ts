import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/support/build.ts",
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 10_000 } },
    // Machines that test are shared and may stall for longer than a test's timeouts. A retry is reported: look into it.
    retry: process.env["CI"] === "true" ? 1 : 0,
  },
});
