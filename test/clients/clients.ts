/** The real command-line clients, run against a Glance or against the proxy in front of one. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CommandResult, run, type RunOptions } from "../support/run.js";

export type { CommandResult } from "../support/run.js";

/** Debian's `glance`, without Keystone. `url` has no trailing slash. */
export function runGlance(
  url: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<CommandResult> {
  // A fresh HOME: with its schema cached, glanceclient 4.1 stops at "conflicting option string: --stores".
  return withDirectory((home) =>
    run("/usr/bin/glance", ["--os-image-url", url, "--os-auth-token", "x", ...args], {
      ...options,
      env: { HOME: home, ...options.env },
    }),
  );
}

/** Debian's `openstack`, without Keystone. */
export function runOpenstack(
  url: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<CommandResult> {
  return withDirectory((home) =>
    run("/usr/bin/openstack", ["--os-auth-type", "none", "--os-endpoint", `${url}/`, ...args], {
      ...options,
      env: { HOME: home, ...options.env },
    }),
  );
}

export function runCurl(args: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
  // -q: no one's ~/.curlrc.
  return run("/usr/bin/curl", ["-q", "--silent", "--show-error", ...args], options);
}

export interface PythonPut {
  /** `chunked`: from a generator, as glanceclient does it; `file`: from an open file, with its Content-Length. */
  readonly framing: "chunked" | "file";
  readonly sizeBytes: number;
  /** Default 64 KiB, as glanceclient before 4.4. */
  readonly pieceBytes?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const PUT_SCRIPT = `
import json, sys, tempfile
import requests

urls, framing, size, piece, headers = json.loads(sys.argv[1])

def pieces():
    left = size
    while left:
        n = min(left, piece)
        yield b"x" * n
        left -= n

if framing == "file":
    data = tempfile.TemporaryFile()
    for p in pieces():
        data.write(p)
for url in urls:
    if framing == "file":
        data.seek(0)
    else:
        data = pieces()
    try:
        response = requests.put(url, data=data, headers=headers, timeout=60)
    except requests.exceptions.RequestException as error:
        sys.stderr.write("%s: %s" % (type(error).__name__, error))
        sys.exit(1)
    print(response.status_code)
    print(response.text)
`;

/**
 * PUTs of `sizeBytes` times `x` by Debian's python-requests, one URL after the other, each on a connection of its own. Code 0 and
 * stdout `STATUS\nBODY\n` for each if every answer could be read, whatever it was; code 1 and the exception on stderr if not.
 */
export function runPythonPut(
  urls: readonly string[],
  put: PythonPut,
  options: RunOptions = {},
): Promise<CommandResult> {
  const headers = { "Content-Type": "application/octet-stream", ...put.headers };
  const given = JSON.stringify([urls, put.framing, put.sizeBytes, put.pieceBytes ?? 65_536, headers]);
  return run("/usr/bin/python3", ["-c", PUT_SCRIPT, given], options);
}

/** Gives `use` the path of a file with this content, and removes it afterwards. */
export function withFile<T>(content: string | Uint8Array, use: (path: string) => Promise<T>): Promise<T> {
  return withDirectory(async (directory) => {
    const path = join(directory, "image.raw");
    await writeFile(path, content);
    return use(path);
  });
}

async function withDirectory<T>(use: (path: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "glance-client-"));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
