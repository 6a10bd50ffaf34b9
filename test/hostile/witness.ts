/**
 * Who asked what, and what Glance has executed. Each request carries a token of its own, by which it is known in Glance's
 * record; a request that is hidden in the body of another carries one that nobody has asked with.
 */
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createImage, type ImageView, showImage, until, untilStatus } from "../support/glance-client.js";
import type { ExecutedRequest } from "../support/real-glance.js";
import { type Reply, send } from "./hostile-client.js";
import type { RunningTopology } from "./topologies.js";

const CRLF = "\r\n";

export interface Question {
  readonly method: string;
  readonly target: string;
  /** Behind the request line, `Host` and those that tell who asks. */
  readonly lines: readonly string[];
  /** Everything behind the head. */
  readonly payload: string;
}

export interface Answer extends Reply {
  readonly token: string;
  /** Whether the proxy has refused it before anything went to Glance. */
  readonly refused: boolean;
}

interface Asked extends Question {
  readonly requestId: string;
  status?: number | undefined;
  executed: boolean;
}

/** Statuses with which the server under Glance, a balancer or the proxy may refuse a head. */
const REFUSING = [400, 405, 408, 411, 413, 414, 417, 431, 501, 502, 503, 504];

export class Witness {
  readonly #topology: RunningTopology;
  readonly #asked = new Map<string, Asked>();
  /** What each image has to hold in the end; undefined: nothing, it is queued. */
  readonly #images = new Map<string, string | undefined>();
  readonly #untouched: string[] = [];
  /** Tells its tokens from those of other witnesses of the same Glance. */
  readonly #name = randomUUID().slice(0, 8);
  #seen: number;
  #tokens = 0;
  #executed = 0;

  private constructor(topology: RunningTopology, seen: number) {
    this.#topology = topology;
    this.#seen = seen;
  }

  static async of(topology: RunningTopology): Promise<Witness> {
    return new Witness(topology, (await topology.glance.executed()).length);
  }

  /** An image that is queued, and stays so unless {@link holds} says otherwise. */
  async image(): Promise<string> {
    const id = this.#untouched.pop() ?? (await createImage(this.#topology.glance.port));
    this.#images.set(id, undefined);
    return id;
  }

  /** Nothing has happened to it, for the next one to use. */
  putBack(id: string): void {
    this.#untouched.push(id);
  }

  holds(id: string, bytes: string): void {
    this.#images.set(id, bytes);
  }

  /** A token of nobody. */
  token(): string {
    this.#tokens += 1;
    return `token-${this.#name}-${this.#tokens}`;
  }

  /** Asks on a connection of its own. */
  async ask(question: Question, deadlineMs = 10_000): Promise<Answer> {
    const token = this.token();
    const asked: Asked = { ...question, requestId: `req-${randomUUID()}`, executed: false };
    this.#asked.set(token, asked);
    const head = [
      `${question.method} ${question.target} HTTP/1.1`,
      "Host: glance.test",
      `X-Auth-Token: ${token}`,
      `X-Openstack-Request-Id: ${asked.requestId}`,
      ...question.lines,
    ];
    const bytes = [...head, "", question.payload].join(CRLF);
    const reply = await send(this.#topology.port, bytes, { hasBody: question.method !== "HEAD", deadlineMs });
    asked.status = reply.status;
    return { ...reply, token, refused: this.#isRefused(asked) };
  }

  /** @returns what is wrong with the answer to another client, which asks for an image of its own. */
  async nextClient(): Promise<string | undefined> {
    const id = await this.image();
    const { status, text, token } = await this.ask(
      { method: "GET", target: `/v2/images/${id}`, lines: [], payload: "" },
      3_000,
    );
    this.putBack(id);
    return status === 200 && text.includes(`"id": "${id}"`)
      ? undefined
      : `${token} asked for image ${id} and got ${status}: ${text}`;
  }

  /** What Glance has executed since the last call that nobody has asked for. */
  async strangers(): Promise<string[]> {
    const fresh = await this.#topology.glance.executed(this.#seen);
    this.#seen += fresh.length;
    return fresh.flatMap((record) => (record.token === null ? [] : (this.#judge(record) ?? [])));
  }

  #judge(record: ExecutedRequest): string | undefined {
    const { method, path, query, token } = record;
    const asked = this.#asked.get(token ?? "");
    const target = decodeURI(asked?.target ?? "");
    const upload = /^(.*\/images\/[^/]+)\/(file|stage)$/.exec(target);
    if (asked?.method === "PUT" && method === "GET" && path === upload?.[1]) return undefined; // the proxy looks after it
    this.#executed += 1;
    const told = JSON.stringify(record);
    if (!asked) return `nobody sent: ${told}`;
    const once = !asked.executed;
    asked.executed = true;
    if (asked.method !== method || target !== (query === "" ? path : `${path}?${query}`)) {
      return `sent as ${asked.method} ${asked.target}: ${told}`;
    }
    if (!once) return `executed again: ${told}`;
    return this.#isRefused(asked) ? `refused, and executed: ${told}` : undefined;
  }

  /** Everything that is wrong, once Glance does nothing more. */
  async verdict(): Promise<string[]> {
    const { glance, counted, logged } = this.#topology;
    const wrong = await this.strangers();
    for (const [token, { status, executed, method, target }] of this.#asked) {
      if (status !== undefined && !REFUSING.includes(status) && !executed) {
        wrong.push(`${token}: ${method} ${target} was answered ${status}, and Glance knows nothing of it`);
      }
    }
    for (const [id, bytes] of this.#images) {
      const image = await untilIdle(glance.port, id);
      const stored = await this.bytesOf(id);
      const isQueued = image?.status === "queued" && image.size === null && stored === undefined;
      const isWhole = image !== undefined && image.size === bytes?.length && stored === bytes;
      if (bytes === undefined ? !isQueued : !isWhole) {
        const seen = image ? `${image.status}, ${image.size} bytes: ${JSON.stringify(stored)}` : "gone";
        wrong.push(`image ${id} is ${seen}, not ${JSON.stringify(bytes) ?? "queued"}`);
      }
    }
    // Exactly as many as the proxy has counted, but for those whose head was refused by whoever read it first.
    const unclear = [...this.#asked.values()].filter(
      (asked) => !asked.executed && !this.#isRefused(asked),
    ).length;
    const refused = logged.filter((line) => isRefusal(line)).length;
    const passed = await until(
      async () => (await counted()) - refused,
      (count) => count <= this.#executed + unclear,
    ).catch(String);
    if (typeof passed === "string" || passed < this.#executed) {
      wrong.push(
        `Glance has executed ${this.#executed}, up to ${unclear} were refused, the proxy passed on: ${passed}`,
      );
    }
    return wrong;
  }

  /** In the store or, for want of any there, in the staging area. */
  async bytesOf(id: string): Promise<string | undefined> {
    const read = (where: string): Promise<string | undefined> =>
      readFile(join(this.#topology.glance.directory, where, id), "latin1").catch(() => undefined);
    return (await read("store")) ?? (await read("staging"));
  }

  #isRefused({ requestId }: Asked): boolean {
    return this.#topology.logged.some((line) => line["requestId"] === requestId && isRefusal(line));
  }
}

/** @returns the image once nothing happens to it; undefined: there is none. */
async function untilIdle(port: number, id: string): Promise<ImageView | undefined> {
  const image = await showImage(port, id).catch(() => undefined);
  const isBusy = image?.status === "saving" || (image?.status === "uploading" && image.size === null);
  return isBusy ? untilStatus(port, id, "queued", "active").catch(() => image) : image;
}

/** A line of the proxy's log that says: answered without Glance. */
function isRefusal({ msg, framingOut }: Readonly<Record<string, unknown>>): boolean {
  return msg === "request refused" || (msg === "upload" && framingOut === undefined);
}
