/**
 * Standard output as the log's destination. A reader that stops reading never blocks the process: up to 1 MiB of lines waits in
 * memory, and further lines are dropped and counted.
 *
 * Seen on Node 20 and 26 (Linux): `fs.write` to a full pipe occupies a thread of the pool, and then `process.exit` never returns.
 * `process.stdout` does not block on a pipe or a socket, and blocks on a terminal unless told otherwise. If a process starts with
 * the same standard output, or a Node process with it ends, writes become blocking again for every process that shares it.
 */
import { forPeople } from "./for-people.js";

/** Takes whole lines, each with its `\n`. */
export interface LogDestination {
  write(line: string): unknown;
}

export interface LogOutput extends LogDestination {
  /** Number of lines dropped since the start. */
  readonly dropped: number;
  /**
   * Resolves when the reader has taken every line that waits. Never rejects.
   * @param patienceMs if the reader takes nothing for this long, resolves at once. Milliseconds.
   */
  flush(patienceMs: number): Promise<void>;
}

/** The part of `process.stdout` that this file uses. */
export interface OutputStream {
  /** @param done called when the stream has taken the text, or with the error. */
  write(text: string, done: (error?: Error | null) => void): unknown;
  /** Bytes that the stream has not yet passed to the system. */
  readonly writableLength: number;
  readonly isTTY?: boolean;
}

/** PIPE_BUF on Linux, bytes. A write of at most this size to a pipe is atomic: it never mixes with lines of another process. */
export const MAX_LINE_BYTES = 4096;
const MAX_WAITING_BYTES = 1024 * 1024;
/** After a drop, lines are accepted again below this size: one long gap in the log is better than many short gaps. */
const RESUME_BYTES = MAX_WAITING_BYTES / 2;

/** Lines that go out in one write. */
interface Chunk {
  text: string;
  bytes: number;
  lines: number;
  /** Number of dropped lines that this text reports. */
  reported: number;
}

/** @param stream Default: `process.stdout`, which is not touched before the first line. */
export function createLogOutput(stream?: OutputStream): LogOutput {
  return new Output(stream);
}

class Output implements LogOutput {
  dropped = 0;
  #stream: OutputStream | undefined;
  readonly #waiting: Chunk[] = [];
  #waitingBytes = 0;
  /** The chunk that the stream has not taken yet. The stream gets no other chunk meanwhile. */
  #current: Chunk | undefined;
  /** Dropped lines that the log does not report yet. */
  #unreported = 0;
  #reason = "";
  #onTaken = (): void => undefined;

  constructor(stream: OutputStream | undefined) {
    this.#stream = stream;
  }

  write(line: string): void {
    const stream = (this.#stream ??= openStandardOutput());
    const text = format(stream, line);
    const bytes = Buffer.byteLength(text);
    this.#report(stream);
    if (this.#unreported > 0 || this.#waitingBytes + bytes > MAX_WAITING_BYTES) {
      this.#drop(1, 0, "standard output was not read in time");
      return;
    }
    this.#enqueue({ text, bytes, lines: 1, reported: 0 });
    this.#pump(stream);
  }

  async flush(patienceMs: number): Promise<void> {
    while (this.#current !== undefined || this.#waiting.length > 0)
      if (!(await this.#taken(patienceMs))) return;
  }

  #enqueue(chunk: Chunk): void {
    const last = this.#waiting.at(-1);
    if (last && last.bytes + chunk.bytes <= MAX_LINE_BYTES) {
      last.text += chunk.text;
      last.bytes += chunk.bytes;
      last.lines += chunk.lines;
      last.reported += chunk.reported;
    } else {
      this.#waiting.push(chunk);
    }
    this.#waitingBytes += chunk.bytes;
  }

  /** @param reported number of earlier drops whose report is lost with these lines. */
  #drop(lines: number, reported: number, reason: string): void {
    this.dropped += lines;
    this.#unreported += lines + reported;
    this.#reason = reason;
  }

  /** Logs the number of dropped lines at the position where they are missing. */
  #report(stream: OutputStream): void {
    if (this.#unreported === 0 || this.#waitingBytes > RESUME_BYTES) return;
    const time = new Date().toISOString();
    const [dropped, reason] = [this.#unreported, this.#reason];
    const fields = { level: "warn", time, dropped, reason, msg: "log lines were dropped" };
    const text = format(stream, `${JSON.stringify(fields)}\n`);
    this.#enqueue({ text, bytes: Buffer.byteLength(text), lines: 0, reported: dropped });
    this.#unreported = 0;
  }

  #pump(stream: OutputStream): void {
    while (this.#current === undefined) {
      const chunk = this.#waiting.shift();
      if (!chunk) return;
      this.#waitingBytes -= chunk.bytes;
      this.#current = chunk;
      keepFromBlocking(stream);
      stream.write(chunk.text, (error) => this.#settle(stream, chunk, error));
      // The system took the chunk at once. If this waited for the callback, an exit now would lose the lines that follow.
      if (stream.writableLength === 0) this.#current = undefined;
    }
  }

  #settle(stream: OutputStream, chunk: Chunk, error: Error | null | undefined): void {
    if (error)
      this.#drop(chunk.lines, chunk.reported, (error as NodeJS.ErrnoException).code ?? error.message);
    else this.#report(stream);
    if (this.#current === chunk) this.#current = undefined;
    this.#pump(stream);
    this.#onTaken();
  }

  /** @returns false if the stream took nothing and failed nothing within the time. */
  #taken(patienceMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), patienceMs);
      this.#onTaken = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }
}

function format({ isTTY = false }: OutputStream, line: string): string {
  return isTTY ? forPeople(line) : line;
}

function openStandardOutput(): OutputStream {
  // Without a listener, a reader that is gone (EPIPE) or a full disk would end the process. The lines count as dropped.
  if (!process.stdout.listeners("error").includes(ignore)) process.stdout.on("error", ignore);
  return process.stdout;
}

function ignore(): void {
  // The callback of the write gets the same error.
}

/** Sets the descriptor to non-blocking. Node has no public function for that. A file, or a stream of a test, has no such handle. */
function keepFromBlocking(stream: OutputStream): void {
  const { _handle } = stream as { _handle?: { setBlocking?(blocking: boolean): unknown } | null };
  _handle?.setBlocking?.(false);
}
