/**
 * Container images without a container engine: buildah builds, and what it has built is run in a mount namespace of its own.
 * There is no registry here, so the base image is made of this machine's Node, npm and shell.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { run } from "./run.js";

/** What the image says of how to run it. */
export interface ImageConfig {
  readonly User: string;
  readonly WorkingDir: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly ExposedPorts: object;
  readonly StopSignal: string;
}

export interface ContainerImage {
  readonly config: ImageConfig;
  /** Its command to see whether it is healthy. */
  readonly healthcheck: readonly string[];
  /** Where its files lie. */
  readonly root: string;
  /** Runs a command in it as its user, with nothing of this environment and no file that can be written. */
  spawn(command: readonly string[]): ChildProcess;
  remove(): void;
}

/** Builds this project's Dockerfile. @param base the image that it starts from. */
export async function buildImage(base: string): Promise<ContainerImage> {
  const folder = mkdtempSync(join(tmpdir(), "container-image-"));
  const buildah = async (...args: string[]): Promise<string> => {
    const where = [
      "--storage-driver",
      "vfs",
      "--root",
      join(folder, "store"),
      "--runroot",
      join(folder, "run"),
    ];
    const { code, stdout, stderr } = await run("/usr/bin/buildah", [...where, ...args], {
      env: { BUILDAH_ISOLATION: "chroot", HOME: folder, TMPDIR: folder },
      timeoutMs: 400_000,
    });
    if (code !== 0) throw new Error(`buildah ${args[0]}: ${stdout}${stderr}`);
    return stdout.trim();
  };
  try {
    createBase(join(folder, "base"));
    writeFileSync(join(folder, "Base"), "FROM scratch\nCOPY base /\n");
    await buildah("build", "--quiet", "--tag", base, "--file", join(folder, "Base"), folder);
    // npm as it is set up here, with what it has fetched before.
    const npmrc = ["registry", "cafile"].map((key) => [key, npm("config", "get", key)] as const);
    const set = npmrc.filter(([, value]) => value !== "null").map(([key, value]) => `${key}=${value}\n`);
    writeFileSync(join(folder, "npmrc"), `${set.join("")}prefer-offline=true\n`);
    const volumes = [
      `${join(folder, "npmrc")}:/root/.npmrc:ro`,
      `${npm("config", "get", "cache")}:/root/.npm`,
      "/etc/ssl/certs:/etc/ssl/certs:ro",
    ].flatMap((volume) => ["--volume", volume]);
    await buildah(
      "build",
      "--quiet",
      "--format",
      "docker",
      "--pull=never",
      ...volumes,
      "--tag",
      "built",
      ".",
    );
    const container = await buildah("from", "--pull=never", "built");
    const root = await buildah("mount", container);
    const inspected = JSON.parse(await buildah("inspect", "--type", "image", "built")) as {
      Docker: { config: ImageConfig & { Healthcheck: { Test: string[] } } };
    };
    const { config } = inspected.Docker;
    return {
      config,
      healthcheck: config.Healthcheck.Test.slice(1),
      root,
      spawn: (command) =>
        spawn(
          "/usr/bin/unshare",
          [
            ...[
              "--mount",
              "sh",
              "-c",
              'mount --bind --options ro "$1" "$1" && shift && exec "$@"',
              "sh",
              root,
            ],
            ...[
              "chroot",
              `--userspec=${config.User}`,
              root,
              "/usr/bin/env",
              "--ignore-environment",
              ...config.Env,
            ],
            ...["sh", "-c", 'cd "$0" && exec "$@"', config.WorkingDir, ...command],
          ],
          { stdio: ["ignore", "pipe", "inherit"] },
        ),
      remove: () => rmSync(folder, { recursive: true, force: true }),
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

function npm(...args: string[]): string {
  return execFileSync("npm", args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    cwd: homedir(),
  }).trim();
}

/** As much of a Linux as Node, npm and a shell need. */
function createBase(root: string): void {
  for (const path of ["usr/bin", "usr/lib", "usr/lib64", "etc", "root", "tmp"]) {
    mkdirSync(join(root, path), { recursive: true });
  }
  execFileSync("ln", ["--symbolic", "usr/bin", "usr/lib", "usr/lib64", root]);
  const programs = [process.execPath, "/bin/sh", "/usr/bin/env"];
  for (const program of programs) cpSync(realpathSync(program), join(root, "usr/bin", basename(program)));
  // What these need, and what a base image has besides: packages bring native code.
  const needed = execFileSync("ldd", programs, { encoding: "utf8" }).match(/\/\S+\.so[.\d]*(?= \()/g) ?? [];
  const listed = execFileSync("dpkg-query", ["--listfiles", "libc6", "libgcc-s1", "libstdc++6"], {
    encoding: "utf8",
  }).match(/^(?!.*\/gconv\/)\/.*\.so[.\d]*$/gm);
  for (const library of new Set([...needed, ...(listed ?? [])])) {
    const copy = join(root, library.replace(/^\/lib/, "/usr/lib"));
    mkdirSync(dirname(copy), { recursive: true });
    cpSync(realpathSync(library), copy);
  }
  const npmCli = realpathSync(execFileSync("sh", ["-c", "command -v npm"], { encoding: "utf8" }).trim());
  cpSync(join(npmCli, "../.."), join(root, "usr/lib/npm"), { recursive: true });
  execFileSync("ln", ["--symbolic", "../lib/npm/bin/npm-cli.js", join(root, "usr/bin/npm")]);
  writeFileSync(
    join(root, "etc/passwd"),
    "root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n",
  );
  writeFileSync(join(root, "etc/group"), "root:x:0:\nnode:x:1000:\n");
  for (const file of ["/etc/hosts", "/etc/resolv.conf"]) cpSync(file, join(root, file));
}
