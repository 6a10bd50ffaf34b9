/** What the hostile suites ask: send these very bytes, and say what came back and what Glance holds afterwards. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { type RunningStandInGlance, startStandInGlance } from "../../src/demo/stand-in-glance.js";
import { createImage, showImage, until } from "../support/glance-client.js";
import { type GlanceServer, SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { borrowGlance } from "../support/lent-glances.js";
import { isProvided } from "../support/provided.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { connect, IncompleteResponse } from "../support/raw-http.js";
import { startRealGlance } from "../support/real-glance.js";

export type Operation = "file" | "stage";

export const OPERATIONS: readonly Operation[] = ["file", "stage"];
export const SERVERS: readonly GlanceServer[] = ["eventlet", "uwsgi"];

/** A Glance whose stored bytes can be read behind its back: a download would go through the code under test again. */
export interface OpenGlance {
  readonly port: number;
  readonly url: string;
  /** The image's bytes in the store or, for want of any there, in the staging area. */
  bytesOf(id: string): Promise<Buffer | undefined>;
  stop(): Promise<void>;
}

/** @param defaults further lines of `[DEFAULT]`, which may name files below an empty directory. */
export async function openRealGlance(
  server: GlanceServer,
  defaults?: (directory: string) => readonly string[],
): Promise<OpenGlance> {
  const scratch = await mkdtemp(join(tmpdir(), "hostile-"));
  const glance = defaults
    ? await startRealGlance({ server, defaults: defaults(scratch) })
    : await borrowGlance(server);
  const read = (where: string, id: string): Promise<Buffer | undefined> =>
    readFile(join(glance.directory, where, id)).catch(() => undefined);
  return {
    port: glance.port,
    url: glance.url,
    bytesOf: async (id) => (await read("store", id)) ?? (await read("staging", id)),
    async stop() {
      await glance.stop();
      await rm(scratch, { recursive: true, force: true });
    },
  };
}

export async function openStandIn(): Promise<OpenGlance> {
  const glance: RunningStandInGlance = await startStandInGlance();
  return {
    port: glance.port,
    url: glance.url,
    bytesOf: (id) => {
      const { data, staged } = glance.images.get(id);
      return Promise.resolve((data ?? staged)?.bytes);
    },
    stop: () => glance.stop(),
  };
}

export interface Reply {
  /** Undefined if the connection ended, or nothing came in time. */
  readonly status: number | undefined;
  readonly text: string;
}

export interface SendOptions {
  readonly hasBody?: boolean;
  /** FIN behind the last byte: for messages that are not whole, whose server would else wait for the rest. */
  readonly end?: boolean;
  readonly deadlineMs?: number;
}

/** Sends the bytes on a connection of their own and reads one answer; afterwards the connection is gone. */
export async function send(
  port: number,
  bytes: string,
  { hasBody = true, end = false, deadlineMs = 10_000 }: SendOptions = {},
): Promise<Reply> {
  const peer = await connect(port);
  try {
    peer.send(bytes);
    if (end) peer.end();
    const { status, text } = await peer.response({ hasBody, deadlineMs });
    return { status, text };
  } catch (error) {
    if (error instanceof IncompleteResponse) return { status: error.head?.status, text: error.message };
    return { status: undefined, text: String(error) };
  } finally {
    peer.destroy();
  }
}

export interface Holding {
  readonly status: string;
  readonly size: number | null;
  readonly bytes: Buffer | undefined;
}

/** What Glance holds of the image, at this moment. */
export async function holding(glance: OpenGlance, id: string): Promise<Holding> {
  const { status, size } = await showImage(glance.port, id);
  return { status, size, bytes: await glance.bytesOf(id) };
}

export const UNTOUCHED = { status: "queued", size: null, bytes: undefined } as const;

/** Waits for an upload that was cut off to be put back; says what there is if it is not. */
export async function untilUntouched(glance: OpenGlance, id: string): Promise<Holding> {
  return until(
    () => holding(glance, id),
    ({ status, bytes }) => status === "queued" && bytes === undefined,
  );
}

/** A real Glance with the proxy in front of it. */
export interface Stage {
  readonly glance: OpenGlance;
  readonly proxy: TestProxy;
  /** An image that nothing has happened to. */
  image(): Promise<string>;
  /** Nothing has happened to it, for the next one to use. */
  putBack(id: string): void;
}

export interface Inquiry<Answer> extends Stage {
  /** In the order of the questions; they come as they are worked on, not more at once than Glance has threads for. */
  readonly answers: readonly Promise<Answer>[];
}

/**
 * Puts the same questions to Glance under each server. One starts after the other, and is asked while the next one starts;
 * under uWSGI, where every upload waits a second for a `100` that never comes, the questions wait together.
 *
 * @returns the inquiry of one server; call it in a `beforeAll`.
 */
export function inquire<Question, Answer>(
  questions: (server: GlanceServer) => readonly Question[],
  ask: (stage: Stage, question: Question) => Promise<Answer>,
  defaults?: (directory: string) => readonly string[],
): (server: GlanceServer) => Promise<Inquiry<Answer>> {
  const inquiries = new Map<GlanceServer, Promise<Inquiry<Answer>>>();
  let over = false;

  async function begin(server: GlanceServer): Promise<Inquiry<Answer>> {
    const glance = await openRealGlance(server, defaults);
    const untouched: string[] = [];
    const stage: Stage = {
      glance,
      proxy: await startProxy(glance.url),
      image: async () => untouched.pop() ?? (await createImage(glance.port)),
      putBack: (id) => void untouched.push(id),
    };
    const tasks = questions(server).map((question) => () => {
      if (over) throw new Error("nobody waits for it any more");
      return ask(stage, question);
    });
    // Of the eight threads under uWSGI one stays free: with none left, looking up an image takes seconds.
    const answers = pooled(tasks, server === "uwsgi" ? 7 : 3);
    for (const answer of answers) answer.catch(() => undefined); // whoever awaits it is told
    return { ...stage, answers };
  }

  afterAll(async () => {
    over = true;
    for (const begun of inquiries.values()) {
      const inquiry = await begun.catch(() => undefined);
      await Promise.allSettled(inquiry?.answers ?? []);
      inquiry?.proxy.stop();
      await inquiry?.glance.stop();
    }
  });

  return (wanted) => {
    let turn: Promise<unknown> = Promise.resolve();
    for (const server of SERVERS.filter((one) => SERVER_REQUIREMENTS[one].every(isProvided))) {
      const inquiry = inquiries.get(server) ?? turn.then(() => begin(server));
      inquiries.set(server, inquiry);
      turn = inquiry.catch(() => undefined);
    }
    return inquiries.get(wanted) ?? Promise.reject(new Error(`Glance under ${wanted} is not installed`));
  };
}

/** Runs the tasks at most `width` at a time; each promise settles with its own task. */
function pooled<T>(tasks: readonly (() => Promise<T>)[], width: number): Promise<T>[] {
  const lanes = Array.from({ length: width }, () => Promise.resolve());
  return tasks.map((task, index) => {
    const lane = index % width;
    const done = (lanes[lane] ?? Promise.resolve()).then(task);
    lanes[lane] = done.then(
      () => undefined,
      () => undefined,
    );
    return done;
  });
}

export function chunks(...pieces: string[]): string {
  return [...pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`), "0\r\n\r\n"].join("");
}
