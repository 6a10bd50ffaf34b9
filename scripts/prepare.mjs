// Brings a fresh clone to the state the npm scripts need: packages installed as locked, `dist` built.
// Does nothing that is already done, so it may stand in front of every script.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

function run(command, ...args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) process.exit(status ?? 1);
}

/** When a file was last written, in milliseconds since 1970; 0 if it does not exist. */
function writtenAt(path) {
  return existsSync(`${root}${path}`) ? statSync(`${root}${path}`).mtimeMs : 0;
}

const installedAt = writtenAt("node_modules/.package-lock.json");
if (installedAt === 0 || installedAt < writtenAt("package-lock.json")) {
  console.log("Installing packages (npm ci) ...");
  run("npm", "ci");
}

/** As old as the beginning of the last build that ended well. */
const STAMP = "dist/.built";
const sources = readdirSync(`${root}src`, { recursive: true }).map((file) => `src/${file}`);
const inputs = ["package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json", ...sources];
const startedAt = new Date();
if (inputs.some((path) => writtenAt(path) >= writtenAt(STAMP))) {
  run("npm", "run", "--silent", "build");
  writeFileSync(`${root}${STAMP}`, "");
  utimesSync(`${root}${STAMP}`, startedAt, startedAt);
}
