import { availableParallelism } from "node:os";
import { defineConfig, type TestUserConfig } from "vitest/config";
import { isProvided } from "./test/support/provided.js";

/** What reads the body of an upload runs once more over the other relay, small bodies too. */
const RAW = { GLANCE_SIZE_PROXY_UPLOAD__RELAY: "raw" };
/** They have no uploads, or choose their relay themselves. */
const ONCE = [
  "test/e2e/{admin,admin-guard,cli,doctor,downloads,early-refusals,events,hooks,json-schemas,log-output,middleware,own-connections,promtool}.test.ts",
  "test/e2e/{pass-through,quota,raw-check,raw-relay,readiness,refused-requests,reload,secrets,tls,tracing,workers}.test.ts",
  "test/faults/pass-through-faults.test.ts",
  "test/hostile/{fuzz,imports,spellings}.test.ts",
  "test/clients/direct.test.ts",
  // The command, whose relay for such large bodies is raw anyway.
  "test/clients/proxied.test.ts",
  "test/e2e/memory.test.ts",
  "test/clients/keystone.test.ts", // with uploads, but small ones, and its servers take long to start
];

/** What reads the connections of clients. */
const OVER_TLS = [
  "test/e2e/{digests,half-close,hold-back,malformed-body,raw-relay}.test.ts",
  "test/faults/client-faults.test.ts",
];

/** They need no build, so that one file starts at once. */
const UNIT = ["test/{unit,sockets}/**/*.test.ts"];

/** Before all tests of a project, `dist` is built, unless it is as new as its sources. */
const built = {
  globalSetup: ["test/support/build.ts", "test/support/shared-directory.ts", "test/support/lent-glances.ts"],
};

/** They replace modules, or look for what is left behind in their process: each has one of its own. */
const SEPARATE = ["test/e2e/{lingering-reload,long-heads}.test.ts", "test/faults/**/*.test.ts"];

/** They measure what a busy machine changes: each runs alone, after all others. */
const HEAVY = ["test/load/memory.test.ts"];
/** The live page, and what is built around the proxy: `npm run test:around`. */
const AROUND = ["test/{bench,deploy,examples,monitoring,page,repository}/**/*.test.ts"];
/** They need much that no other test needs: `npm run stores`. */
const STORES = ["test/stores/**/*.test.ts"];
/** OpenStack's own tests, for a quarter of an hour: `npm run tempest`. */
const TEMPEST = ["test/tempest/**/*.test.ts"];
const alone = { maxWorkers: 1, sequence: { groupOrder: 1 } };

/** For every project. */
const SHARED: TestUserConfig = {
  pool: "forks",
  testTimeout: 120_000,
  hookTimeout: 120_000,
  expect: { poll: { timeout: 30_000 } },
  // Machines that test are shared and may stall for longer than a test's timeouts. A retry is reported: look into it.
  retry: process.env["CI"] === "true" ? 1 : 0,
};

const PROJECTS: readonly TestUserConfig[] = [
  // One process for many files: to start one takes longer than most of them.
  { name: "unit", include: UNIT, isolate: false },
  {
    name: "stream",
    isolate: false,
    include: ["test/**/*.test.ts"],
    exclude: [...UNIT, ...SEPARATE, ...HEAVY, ...AROUND, ...STORES, ...TEMPEST],
    ...built,
  },
  { name: "stream, separate", include: SEPARATE, ...built },
  { name: "stream, alone", include: HEAVY, ...alone, ...built },
  { name: "apart, around", include: AROUND, isolate: false, ...built },
  { name: "apart, stores", include: STORES, ...alone, ...built },
  { name: "apart, tempest", include: TEMPEST, ...alone, ...built },
];

/** What reads bodies, once more. */
const SECOND_ROUND: readonly TestUserConfig[] = [
  {
    name: "raw",
    isolate: false,
    include: ["test/{clients,e2e,hostile,load}/**/*.test.ts", "test/contract/proxied-*.test.ts"],
    exclude: [...ONCE, ...SEPARATE, ...HEAVY],
    env: RAW,
    ...built,
  },
  { name: "raw over TLS", include: OVER_TLS, env: { ...RAW, TEST_OVER_TLS: "true" }, ...built },
  { name: "raw, separate", include: SEPARATE, exclude: ONCE, env: RAW, ...built },
  { name: "raw, alone", include: HEAVY, env: RAW, ...alone, ...built },
];

/** Without Glance, a change can be tried but not proven: then one round is enough, and takes less than 3 minutes. */
const isWhole = isProvided("glance-api") || process.env["CI"] === "true";
if (!isWhole) {
  const names = SECOND_ROUND.map(({ name }) => JSON.stringify(name)).join(", ");
  console.warn(`SKIPPED the projects ${names}, which run tests once more: needs glance-api, or CI=true\n`);
}

export default defineConfig({
  test: {
    coverage: { include: ["src/**/*.ts"], exclude: ["src/admin/page/**"], reporter: ["text-summary"] },
    maxWorkers: Math.max(5, availableParallelism() - 1), // tests wait more than they work
    projects: [...PROJECTS, ...(isWhole ? SECOND_ROUND : [])].map((test) => ({
      test: { ...SHARED, ...test },
    })),
  },
});
