/** What the admin address really answers, held against the JSON Schemas that are published for it. */
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { z } from "zod";
import { eventSchema } from "../../src/admin/overview-schema.js";
import { uploadsSchema } from "../../src/observe/uploads-schema.js";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { connect, request } from "../support/raw-http.js";
import { CHUNKED, FILE, SIZE, STAGE, useScene } from "./scene.js";

const ajv = new Ajv2020({ allErrors: true, strictTypes: true });
formats.default(ajv);

/** @returns faults by the published schema, and fields that it does not name. */
function faultsOf(name: "uploads" | "events", schema: z.ZodType, value: unknown): unknown[] {
  const validate = ajv.compile(JSON.parse(readFileSync(`docs/schemas/${name}.json`, "utf8")) as object);
  validate(value);
  return [...(validate.errors ?? []), ...(schema.safeParse(value).error?.issues ?? [])];
}

/** The first events of the stream, until one satisfies. */
async function readEvents(port: number, last: (event: Event) => boolean): Promise<Event[]> {
  const leave = new AbortController();
  const response = await fetch(`http://127.0.0.1:${port}/events`, { signal: leave.signal });
  const events: Event[] = [];
  let text = "";
  try {
    for await (const piece of response.body ?? []) {
      const messages = (text + Buffer.from(piece as Uint8Array).toString()).split("\n\n");
      text = messages.pop() ?? "";
      events.push(...messages.map((message) => JSON.parse(message.replace("data: ", "")) as Event));
      if (events.some(last)) break;
    }
  } finally {
    leave.abort();
  }
  return events;
}
type Event = z.infer<typeof eventSchema>;

const scene = useScene();

/** Of each size source but `spooled`, in flight, completed and refused. */
async function sendUploads(port: number): Promise<{ end(): void }> {
  await request(port, "PUT", FILE, { body: "hello" });
  await request(port, "PUT", STAGE, {
    headers: { ...CHUNKED, "Upload-Length": 5 },
    body: "5\r\nhello\r\n0\r\n\r\n",
  });
  await request(port, "PUT", FILE, { headers: { [SIZE]: "5x" }, body: "hello" });
  const announced = await connect(port);
  announced.sendHead("PUT", FILE, { ...CHUNKED, [SIZE]: 5 });
  const unknown = await connect(port);
  unknown.sendHead("PUT", FILE, CHUNKED);
  await expect.poll(() => scene.upstream.uploads.length).toBe(4);
  return {
    end() {
      announced.destroy();
      unknown.destroy();
    },
  };
}

describe("one process", () => {
  it("/uploads answers as docs/schemas/uploads.json says", async () => {
    const uploads = await sendUploads(scene.proxy.port);
    const answer = await scene.proxy.uploads();
    expect([answer.inFlight.length, answer.finished.length]).toEqual([2, 3]);
    expect(faultsOf("uploads", uploadsSchema, answer)).toEqual([]);
    uploads.end();
  });

  it("/events sends what docs/schemas/events.json says, also if nothing has ended meanwhile", async () => {
    const uploads = await sendUploads(scene.proxy.port);
    const events = await readEvents(scene.proxy.adminPort, ({ finished }) => finished === undefined);
    for (const event of events) expect(faultsOf("events", eventSchema, event)).toEqual([]);
    expect(events[0]).toMatchObject({ state: "ready", glance: "answers", workers: 1 });
    expect(events[0]?.finished).toHaveLength(3);
    uploads.end();
  });

  it("/events says so in the same way if Glance cannot be reached", async () => {
    const alone = await scene.startAnother({}, "http://127.0.0.1:1");
    const [event] = await readEvents(alone.adminPort, () => true);
    expect(faultsOf("events", eventSchema, event)).toEqual([]);
    expect(event?.state).toBe("glance_unreachable");
  });
});

describe("several workers", () => {
  let command: RunningCommand;
  beforeEach(async () => {
    command = await startCommand(scene.upstream.url, { GLANCE_SIZE_PROXY_WORKERS: "2" });
  });
  afterEach(() => command.stop());

  it("answer with the same fields", async () => {
    const uploads = await sendUploads(command.port);
    await expect.poll(async () => (await command.uploads()).finished.length).toBe(3);
    expect(faultsOf("uploads", uploadsSchema, await command.uploads())).toEqual([]);
    const events = await readEvents(command.adminPort, ({ inFlight }) => inFlight.length === 2);
    for (const event of events) expect(faultsOf("events", eventSchema, event)).toEqual([]);
    expect(events.at(-1)?.workers).toBe(2);
    uploads.end();
  });
});

it("the published schema finds a field that is missing, and one of another type", async () => {
  await request(scene.proxy.port, "PUT", FILE, { body: "hello" });
  const { inFlight, finished } = await scene.proxy.uploads();
  const [{ operation: _, ...without } = { operation: "file" }] = finished;
  for (const upload of [without, { ...finished[0], receivedBytes: "5" }]) {
    const validate = ajv.compile(JSON.parse(readFileSync("docs/schemas/uploads.json", "utf8")) as object);
    expect(validate({ inFlight, finished: [upload] })).toBe(false);
  }
});
