/** What both benchmarks do with their command lines. */

/** @throws Error if it is not an integer of at least 1. */
export function readNumber(option: string, text: string): number {
  if (!/^[1-9]\d*$/.test(text))
    throw new Error(`--${option}: ${JSON.stringify(text)}: must be an integer of at least 1`);
  return Number(text);
}

/** As it was typed, to be typed again. */
export function commandLine(command: string, args: readonly string[]): string {
  const quoted = args.map((arg) => (/^[\w./=-]+$/.test(arg) ? arg : `'${arg}'`));
  return [command, ...(args.length > 0 ? ["--", ...quoted] : [])].join(" ");
}

/** Exit code 2 if `main` fails. */
export async function runMain(main: (args: string[]) => Promise<void>): Promise<void> {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 2;
  }
}
