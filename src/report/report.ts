/** `glance-size-proxy report`: what a log says about the uploads of a cloud, before their sizes are enforced and afterwards. */
import { createReadStream } from "node:fs";
import { ConfigError } from "../config/config-error.js";
import { Findings } from "./findings.js";
import { readLogLine, readLogLines } from "./log-lines.js";
import { renderReport } from "./render.js";

export interface ReportOptions {
  readonly logs: readonly AsyncIterable<Buffer>[];
  readonly json: boolean;
}

/** @throws ConfigError while it is read, if the file cannot be read. */
export async function* openLog(path: string): AsyncGenerator<Buffer> {
  try {
    yield* createReadStream(path) as AsyncIterable<Buffer>;
  } catch (error) {
    throw new ConfigError([`--from ${path}: ${(error as Error).message}`]);
  }
}

/**
 * @param write shows the report.
 * @returns the number of refused uploads.
 * @throws ConfigError if the log has no upload.
 */
export async function runReport(
  { logs, json }: ReportOptions,
  write: (text: string) => void,
): Promise<number> {
  const findings = new Findings();
  let read = 0;
  let broken = 0;
  for (const log of logs) {
    for await (const text of readLogLines(log)) {
      const line = readLogLine(text);
      read += 1;
      if (line.kind === "broken") broken += 1;
      if (line.kind === "upload") findings.add(line.upload);
    }
  }
  if (findings.uploads === 0) {
    throw new ConfigError([
      `--from: no upload in ${read} lines, of which ${broken} cannot be read. Uploads are logged if log.level is info or debug.`,
    ]);
  }
  const report = findings.report({ read, broken });
  write(json ? `${JSON.stringify(report, undefined, 2)}\n` : renderReport(report));
  return report.refused;
}
