/**
 * Standard output as the log's destination. A reader that stops never stops the process: lines wait in memory, up to a bound,
 * and are dropped and counted beyond it.
 *
 * What was measured on Node 20 and 26 (Linux): `fs.write` to a full pipe keeps a thread of the pool, and then `process.exit` never
 * ends. `process.stdout` on a pipe or a socket does not block, and on a terminal it blocks until told otherwise. Every process
 * that is started with the same standard output, and every Node process that ends with it, makes it blocking again for all.
 */
import { forPeople } from "./for-people.js";

/** Takes whole lines, each with its `\n`. */
export interface LogDestination {
  write(line: string): unknown;
}

export interface LogOutput extends LogDestination {
  /** Lines that were dropped since the start. */
  readonly dropped: number;
  /**
   * Resolves when the reader has taken every line that waits.
   * @param patienceMs resolves too if the reader takes nothing for so long, milliseconds.
   */
  flush(patienceMs: number): Promise<void>;
}

/** What is used of `process.stdout`. */
export interface OutputStream {
  /** Calls back when the text was taken, or could not be. */
  write(text: string, done: (error?: Error | null) => void): unknown;
  /** Bytes that were not taken at once. */
  readonly writableLength: number;
  readonly isTTY?: boolean;
}

/** POSIX's PIPE_BUF on Linux, bytes: what is not longer goes into a pipe whole, and never mixes with the lines of another process. */
export const MAX_LINE_BYTES = 4096;
/** Lines wait up to this size in all, bytes. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** Once lines are dropped, none is taken before so little waits, bytes: the lost ones make one gap and not a thousand. */
const RESUME_BYTES = MAX_WAITING_BYTES / 2;

/** Lines that go out in one write. */
interface Chunk {
  text: string;
  bytes: number;
  lines: number;
  /** Lost lines that this text tells of. */
  told: number;
}

/** @param given in the place of standard output, which is not touched before the first line. */
export function createLogOutput(given?: OutputStream): LogOutput {
  let stream = given;
  const waiting: Chunk[] = [];
  let waitingBytes = 0;
  /** What the stream has not taken yet; nothing else is given to it meanwhile. */
  let current: Chunk | undefined;
  let dropped = 0;
  /** Dropped, and nothing in the log says so yet. */
  let untold = 0;
  let reason = "";
  let onTaken = (): void => undefined;

  function enqueue(text: string, bytes: number, lines: number, told: number): void {
    const last = waiting.at(-1);
    if (last && last.bytes + bytes <= MAX_LINE_BYTES) {
      last.text += text;
      last.bytes += bytes;
      last.lines += lines;
      last.told += told;
    } else {
      waiting.push({ text, bytes, lines, told });
    }
    waitingBytes += bytes;
  }

  function lose(lines: number, told: number, why: string): void {
    dropped += lines;
    untold += lines + told;
    reason = why;
  }

  /** Stands where the lost lines would be: behind those that still wait, before those that come. */
  function tell(to: OutputStream): void {
    if (untold === 0 || waitingBytes > RESUME_BYTES) return;
    const time = new Date().toISOString();
    const fields = { level: "warn", time, dropped: untold, reason, msg: "log lines were dropped" };
    const text = format(to, `${JSON.stringify(fields)}\n`);
    enqueue(text, Buffer.byteLength(text), 0, untold);
    untold = 0;
  }

  function pump(to: OutputStream): void {
    while (current === undefined) {
      const chunk = waiting.shift();
      if (!chunk) return;
      waitingBytes -= chunk.bytes;
      current = chunk;
      keepFromBlocking(to);
      to.write(chunk.text, (error) => settle(to, chunk, error));
      // Taken at once. Waiting for its callback would lose the lines that follow if the process ended now.
      if (to.writableLength === 0) current = undefined;
    }
  }

  function settle(to: OutputStream, chunk: Chunk, error: Error | null | undefined): void {
    if (error) lose(chunk.lines, chunk.told, (error as NodeJS.ErrnoException).code ?? error.message);
    else tell(to);
    if (current === chunk) current = undefined;
    pump(to);
    onTaken();
  }

  /** Whether anything was taken, or failed, in time. */
  function taken(patienceMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), patienceMs);
      onTaken = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  return {
    get dropped() {
      return dropped;
    },

    write(line) {
      stream ??= openStandardOutput();
      const text = format(stream, line);
      const bytes = Buffer.byteLength(text);
      tell(stream);
      if (untold > 0 || waitingBytes + bytes > MAX_WAITING_BYTES) {
        lose(1, 0, "standard output was not read in time");
        return;
      }
      enqueue(text, bytes, 1, 0);
      pump(stream);
    },

    async flush(patienceMs) {
      while (current !== undefined || waiting.length > 0) if (!(await taken(patienceMs))) return;
    },
  };
}

function format({ isTTY = false }: OutputStream, line: string): string {
  return isTTY ? forPeople(line) : line;
}

function openStandardOutput(): OutputStream {
  // A reader that is gone (EPIPE) or a full disk is counted, and does not end the process.
  if (!process.stdout.listeners("error").includes(ignore)) process.stdout.on("error", ignore);
  return process.stdout;
}

function ignore(): void {
  // The callback of the write tells.
}

/** Node's public interface has no word for it. A stream without this handle is a file or a test's. */
function keepFromBlocking(stream: OutputStream): void {
  const { _handle } = stream as { _handle?: { setBlocking?(blocking: boolean): unknown } | null };
  _handle?.setBlocking?.(false);
}
