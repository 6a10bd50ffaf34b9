/**
 * A raw-socket HTTP/1.1 client: the test writes every byte of the request itself, in as many steps as it likes,
 * and sees what a real client sees: interim answers, the answer, and how the connection ended.
 *
 *     const peer = await connect(port);
 *     peer.sendHead("PUT", `/v2/images/${id}/file`, { "Transfer-Encoding": "chunked" });
 *     peer.sendChunk("hello").endChunks();
 *     const response = await peer.response();
 *     expect(await peer.closed()).toBe("fin");
 *
 * Every wait has a deadline and says, when it passes, what had come until then.
 */
import net from "node:net";

export type HeaderValues = Readonly<Record<string, string | number | readonly string[]>>;

/** How the other side ended the connection: in an orderly way, or by a reset. */
export type Ending = "fin" | "reset";

export interface RawHead {
  readonly status: number;
  readonly statusText: string;
  readonly httpVersion: string;
  /** Names as they came, in order, repeated ones included. */
  readonly rawHeaders: readonly (readonly [name: string, value: string])[];
  /** By lower-case name; repeated headers joined by `, `. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

export interface RawResponse extends RawHead {
  /** After transfer-decoding. */
  readonly body: Buffer;
  readonly text: string;
  json(): unknown;
}

export interface ResponseOptions {
  /** Default 20 s. */
  readonly deadlineMs?: number;
  /** False for the answer to a HEAD: its Content-Length announces nothing that comes. Default true. */
  readonly hasBody?: boolean;
}

/** The connection ended before the answer was whole. */
export class IncompleteResponse extends Error {
  override readonly name = "IncompleteResponse";
  readonly ending: Ending | undefined;
  /** The head, if that had come whole. */
  readonly head: RawHead | undefined;
  /** Body bytes that had come, before transfer-decoding of the last piece. */
  readonly partialBody: Buffer;

  constructor(message: string, ending: Ending | undefined, head: RawHead | undefined, partialBody: Buffer) {
    super(message);
    this.ending = ending;
    this.head = head;
    this.partialBody = partialBody;
  }
}

const DEADLINE_MS = 20_000;
const NOTHING = Buffer.alloc(0);

/** Opens a connection to 127.0.0.1 (or `host`). */
export async function connect(port: number, host = "127.0.0.1"): Promise<Peer> {
  // Half-open: a FIN from the server must not end our own side, or a test could not go on sending after it.
  const socket = net.connect({ port, host, allowHalfOpen: true, noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve).once("error", reject);
  });
  return new Peer(socket);
}

/** Text of a request head; `Host` is added unless given. Values may be repeated by giving an array. */
export function requestHead(method: string, target: string, headers: HeaderValues = {}): string {
  const lines = [`${method} ${target} HTTP/1.1`];
  if (!Object.keys(headers).some((name) => name.toLowerCase() === "host")) lines.push("Host: glance.test");
  for (const [name, value] of Object.entries(headers)) {
    for (const one of Array.isArray(value) ? (value as readonly string[]) : [value]) {
      lines.push(`${name}: ${String(one)}`);
    }
  }
  return lines.join("\r\n") + "\r\n\r\n";
}

/** One request on a connection of its own. A body gets a `Content-Length` unless the headers say how it is framed. */
export async function request(
  port: number,
  method: string,
  target: string,
  options: { readonly headers?: HeaderValues; readonly body?: string | Uint8Array } & ResponseOptions = {},
): Promise<RawResponse> {
  const peer = await connect(port);
  try {
    const headers: Record<string, HeaderValues[string]> = { Connection: "close", ...options.headers };
    const framed = Object.keys(headers).some((name) => /^(content-length|transfer-encoding)$/i.test(name));
    if (options.body !== undefined && !framed) headers["Content-Length"] = Buffer.byteLength(options.body);
    peer.sendHead(method, target, headers);
    if (options.body !== undefined) peer.send(options.body);
    return await peer.response({ hasBody: method !== "HEAD", ...options });
  } finally {
    peer.destroy();
  }
}

/** Whether a server answers this with 200. */
export async function answers(port: number, target: string): Promise<boolean> {
  return (await request(port, "GET", target).catch(() => undefined))?.status === 200;
}

export class Peer {
  readonly socket: net.Socket;
  /** 1xx answers seen so far. */
  readonly interims: RawHead[] = [];
  /** How the server ended the connection, once it has. */
  ending: Ending | undefined;
  /** True as soon as a reset was seen, also one that came after a FIN. */
  wasReset = false;

  #pieces: Buffer[] = [];
  #length = 0;
  #wakers = new Set<() => void>();

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("data", (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#length += piece.length;
      this.#wake();
    });
    socket.on("end", () => {
      this.ending ??= "fin";
      this.#wake();
    });
    // ECONNRESET while reading, EPIPE while writing: both mean that the other side sent a reset.
    socket.on("error", () => {
      this.ending ??= "reset";
      this.wasReset = true;
      this.#wake();
    });
    socket.on("close", () => {
      this.#wake();
    });
  }

  /** Bytes as they are; text as latin1, so that every byte value can be written. */
  send(...pieces: (string | Uint8Array)[]): this {
    for (const piece of pieces) {
      this.socket.write(typeof piece === "string" ? Buffer.from(piece, "latin1") : piece);
    }
    return this;
  }

  sendHead(method: string, target: string, headers: HeaderValues = {}): this {
    return this.send(requestHead(method, target, headers));
  }

  /** One chunk of a chunked body, in one write. An empty one is not sent: it would be the last. */
  sendChunk(data: string | Uint8Array): this {
    const bytes = typeof data === "string" ? Buffer.from(data, "latin1") : data;
    if (bytes.length === 0) return this;
    return this.send(
      Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]),
    );
  }

  /** The last chunk. */
  endChunks(): this {
    return this.send("0\r\n\r\n");
  }

  /** Until everything sent so far is in the hands of the kernel; also returns when the connection is gone. */
  async flushed(deadlineMs = DEADLINE_MS): Promise<void> {
    await this.#until(() => this.socket.writableLength === 0 || this.socket.destroyed, "writes", deadlineMs, [
      "drain",
    ]);
  }

  /** FIN: our side says nothing more, but still listens. */
  end(): this {
    this.socket.end();
    return this;
  }

  /** Closes both directions. With unread bytes the kernel makes a reset of it. */
  destroy(): void {
    this.socket.destroy();
  }

  /** Reset. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Stops reading, so that the server meets back-pressure. */
  pause(): this {
    this.socket.pause();
    return this;
  }

  resume(): this {
    this.socket.resume();
    return this;
  }

  /** Body or head bytes that came and that no answer has used yet. */
  get unread(): Buffer {
    return this.#peek();
  }

  /** The next 1xx answer. Throws if a final answer comes first. */
  async interim(deadlineMs = DEADLINE_MS): Promise<RawHead> {
    const head = await this.#head(deadlineMs);
    if (head.status >= 200) throw new Error(`a final answer came instead of an interim one: ${head.status}`);
    this.interims.push(head);
    return head;
  }

  /** The next final answer, whole; 1xx answers before it are kept in `interims`. */
  async response({ deadlineMs = DEADLINE_MS, hasBody = true }: ResponseOptions = {}): Promise<RawResponse> {
    let head = await this.#head(deadlineMs);
    while (head.status < 200) {
      this.interims.push(head);
      head = await this.#head(deadlineMs);
    }
    const withoutBody = !hasBody || head.status === 204 || head.status === 304;
    const body = withoutBody ? NOTHING : await this.#body(head, deadlineMs);
    const text = body.toString();
    return { ...head, body, text, json: () => JSON.parse(text) as unknown };
  }

  /** Waits until the server ends the connection (or until we have), and says how. */
  async closed(deadlineMs = DEADLINE_MS): Promise<Ending> {
    // A socket that is not read never reports its end.
    this.socket.resume();
    await this.#until(() => this.ending !== undefined || this.socket.destroyed, "end", deadlineMs);
    return this.ending ?? "fin";
  }

  #wake(): void {
    for (const waker of this.#wakers) waker();
  }

  #peek(): Buffer {
    if (this.#pieces.length !== 1) this.#pieces = this.#length === 0 ? [] : [Buffer.concat(this.#pieces)];
    return this.#pieces[0] ?? NOTHING;
  }

  #take(length: number): Buffer {
    const all = this.#peek();
    this.#pieces = length < all.length ? [all.subarray(length)] : [];
    this.#length = all.length - length;
    return all.subarray(0, length);
  }

  async #until(done: () => boolean, what: string, deadlineMs: number, events: string[] = []): Promise<void> {
    if (done()) return;
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error): void => {
        clearTimeout(timer);
        this.#wakers.delete(check);
        for (const event of events) this.socket.off(event, check);
        if (error) reject(error);
        else resolve();
      };
      const check = (): void => {
        if (done()) settle();
      };
      const timer = setTimeout(() => {
        const seen = JSON.stringify(this.#peek().subarray(0, 500).toString("latin1"));
        settle(new Error(`no ${what} within ${deadlineMs} ms; unread so far: ${seen}`));
      }, deadlineMs);
      this.#wakers.add(check);
      for (const event of events) this.socket.on(event, check);
    });
  }

  /** Waits for `length` bytes; false if the connection ended before. */
  async #available(length: number, what: string, deadlineMs: number): Promise<boolean> {
    const over = (): boolean => this.ending !== undefined || this.socket.destroyed;
    await this.#until(() => this.#length >= length || over(), what, deadlineMs);
    return this.#length >= length;
  }

  async #line(mark: string, head: RawHead | undefined, soFar: Buffer, deadlineMs: number): Promise<string> {
    for (;;) {
      const at = this.#peek().indexOf(mark);
      if (at >= 0) return this.#take(at + mark.length).toString("latin1", 0, at);
      if (!(await this.#available(this.#length + 1, "answer", deadlineMs)))
        throw this.#incomplete(head, soFar);
    }
  }

  #incomplete(head: RawHead | undefined, soFar: Buffer): IncompleteResponse {
    const partial = head ? Buffer.concat([soFar, this.#peek()]) : NOTHING;
    const where = head ? `in the body of a ${head.status}, after ${partial.length} bytes` : "before the head";
    const how = this.ending ?? "our own close";
    return new IncompleteResponse(`the answer ended by ${how} ${where}`, this.ending, head, partial);
  }

  async #head(deadlineMs: number): Promise<RawHead> {
    const [first = "", ...lines] = (await this.#line("\r\n\r\n", undefined, NOTHING, deadlineMs)).split(
      "\r\n",
    );
    const match = /^HTTP\/(\d\.\d) (\d{3})(?: (.*))?$/.exec(first);
    if (!match) throw new Error(`not a status line: ${JSON.stringify(first)}`);
    const rawHeaders = lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    });
    const headers: Record<string, string | undefined> = {};
    for (const [name, value] of rawHeaders) {
      const key = name.toLowerCase();
      headers[key] = headers[key] === undefined ? value : `${headers[key]}, ${value}`;
    }
    return {
      httpVersion: match[1] ?? "",
      status: Number(match[2]),
      statusText: match[3] ?? "",
      rawHeaders,
      headers,
    };
  }

  async #body(head: RawHead, deadlineMs: number): Promise<Buffer> {
    if (/chunked/i.test(head.headers["transfer-encoding"] ?? "")) return this.#chunked(head, deadlineMs);
    const length = head.headers["content-length"];
    if (length !== undefined) {
      if (await this.#available(Number(length), "body", deadlineMs)) return this.#take(Number(length));
      throw this.#incomplete(head, NOTHING);
    }
    await this.#available(Infinity, "body", deadlineMs);
    if (this.ending !== "fin") throw this.#incomplete(head, NOTHING);
    return this.#take(this.#length);
  }

  async #chunked(head: RawHead, deadlineMs: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for (;;) {
      const size = parseInt(await this.#line("\r\n", head, Buffer.concat(chunks), deadlineMs), 16);
      if (!(await this.#available(size + 2, "chunk", deadlineMs))) {
        throw this.#incomplete(head, Buffer.concat(chunks));
      }
      const chunk = this.#take(size + 2).subarray(0, size);
      if (size === 0) return Buffer.concat(chunks);
      chunks.push(chunk);
    }
  }
}
