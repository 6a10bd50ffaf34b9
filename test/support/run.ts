/** Runs a command to its end. */
import { spawn } from "node:child_process";

export interface CommandResult {
  /** -1 if a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Instead of this process's environment; PATH is Debian's, so that no other Python comes first. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
  /** The command is killed after this time. Default: shortly before a test may take no longer. */
  readonly timeoutMs?: number;
}

/** Rejects only if the command cannot be started or takes too long. */
export function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
  const { timeoutMs = 110_000 } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8", ...options.env },
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, timeoutMs);
    child.stdout.on("data", (piece: Buffer) => stdout.push(piece));
    child.stderr.on("data", (piece: Buffer) => stderr.push(piece));
    // A command that does not read its input to the end is no fault of ours.
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input);
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      const result = {
        code: code ?? -1,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      };
      if (late)
        reject(new Error(`${file} took longer than ${timeoutMs} ms:\n${result.stdout}${result.stderr}`));
      else resolve(result);
    });
  });
}
