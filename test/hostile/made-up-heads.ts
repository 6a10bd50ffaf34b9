/**
 * Heads that are made up: any number of lines, the line that frames the body among the first, in the middle or the last, and in
 * the body bytes that a second reader would take for a request. Glance executes what was asked, each request once; an
 * image has the bytes that were declared, or none; the next client is answered.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import {
  framed,
  type Framing,
  FRAMINGS,
  hiddenOpenDelete,
  hiddenOpenUpload,
  hiddenUpload,
  type Padding,
  PADDING_NAMES,
  PADDINGS,
} from "./long-heads.js";
import { TOPOLOGIES, type Topology } from "./topologies.js";
import type { Witness } from "./witness.js";

const SIZE = "x-openstack-image-size";
/** Some of these uploads wait for what never comes, such as a look at an image behind 1,000 lines: let them wait together. */
const TOGETHER = 4;

/** The lines that do not go to Glance, so that its server has no reason to refuse the head. */
const DROPPED: readonly Padding[] = ["lines with an underscore", "lines that Connection names"];

type Place = "first" | "middle" | "last";

interface Made {
  readonly method: string;
  readonly target: (id: string) => string;
  readonly paddings: readonly (readonly [padding: Padding, count: number])[];
  /** Without it there is no body. */
  readonly framing: Framing | undefined;
  readonly framingAt: Place;
  readonly body: (id: string, token: string) => string;
  /** What the declared size differs by; undefined: none is declared. */
  readonly sizeOff: number | undefined;
  readonly sizeAt: Place;
}

const upload = fc
  .constantFrom("file", "stage")
  .map((operation) => ["PUT", (id: string) => `/v2/images/${id}/${operation}`] as const);

/** Reads are what the servers have most of, and what shared connections are for. */
const read = fc.constantFrom<readonly [method: string, target: (id: string) => string]>(
  ["GET", () => "/v2/images"],
  ["GET", (id) => `/v2/images/${id}`],
  ["GET", (id) => `/v2/images/${id}/file`],
  ["HEAD", () => "/v2/images"],
);

const other = fc.constantFrom<readonly [method: string, target: (id: string) => string]>(
  ["DELETE", () => "/v2/images/nope"],
  ["DELETE", (id) => `/v2/images/${id}/tags/nope`],
  ["OPTIONS", () => "/v2/images"],
  ["TRACE", () => "/v2/images"],
  ["POST", () => "/v2/images"],
  ["POST", (id) => `/v2/images/${id}/members`],
  ["PATCH", (id) => `/v2/images/${id}`],
  ["PUT", (id) => `/v2/images/${id}/tags/one`],
);

const place = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom<Place>("first", "middle") },
  { weight: 3, arbitrary: fc.constant<Place>("last") },
);

const count = fc.oneof(
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 120 }) },
  { weight: 4, arbitrary: fc.integer({ min: 900, max: 1_500 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1_500, max: 5_000 }) },
);

const made: fc.Arbitrary<Made> = fc
  .record({
    asked: fc.oneof(upload, read, other),
    paddings: fc.array(fc.tuple(fc.constantFrom(...PADDING_NAMES, ...DROPPED), count), { maxLength: 2 }),
    framing: fc.option(fc.constantFrom(...FRAMINGS), { nil: undefined, freq: 8 }),
    framingAt: place,
    body: fc.oneof(
      fc.constantFrom(hiddenUpload, hiddenOpenUpload, hiddenOpenDelete),
      fc.string({ maxLength: 40 }).map((text) => () => text.replace(/[^\x20-\x7e]/g, "?")),
    ),
    sizeOff: fc.option(fc.constantFrom(0, 0, -1, 1), { nil: undefined }),
    sizeAt: place,
  })
  .map(({ asked: [method, target], ...rest }) => ({ method, target, ...rest }));

/** @param runs multiplies the tries. */
export function itTakesMadeUpHeads(topology: Topology, witness: () => Witness, runs: number): void {
  async function attempt(one: Made): Promise<void> {
    const { method, target, framing, sizeOff } = one;
    const id = await witness().image();
    const body = framing ? one.body(await witness().image(), witness().token()) : "";
    const { line, payload } = framing ? framed(body, framing) : { line: undefined, payload: "" };
    const size = sizeOff === undefined ? undefined : `${SIZE}: ${Math.max(0, body.length + sizeOff)}`;
    const lines = [
      "Content-Type: application/octet-stream",
      ...placed(
        one.paddings.flatMap(([padding, lines]) => PADDINGS[padding](lines)),
        [
          [line, one.framingAt],
          [size, one.sizeAt],
        ],
      ),
    ];
    const isUpload = /\/(file|stage)$/.test(target(id)) && method === "PUT";
    const { status } = await witness().ask({ method, target: target(id), lines, payload });
    if (isUpload && status === 204) {
      const declared = size?.slice(SIZE.length + 2) ?? String(body.length);
      expect(declared).toBe(String(body.length));
      witness().holds(id, body);
    }
  }

  async function check(together: readonly Made[]): Promise<void> {
    await Promise.all(together.map(attempt));
    expect(await witness().nextClient()).toBe(undefined);
    expect(await witness().strangers()).toEqual([]);
  }

  it(
    "Glance executes what was asked, and each image has what was declared, or nothing",
    async () => {
      const several = fc.array(made, { minLength: TOGETHER, maxLength: TOGETHER });
      const numRuns = runs * (topology === TOPOLOGIES[0] ? 15 : 4);
      // To make smaller what fails takes Glance minutes. A slow machine tries fewer.
      const limits = { endOnFailure: true, interruptAfterTimeLimit: runs * 30_000 };
      await fc.assert(fc.asyncProperty(several, check), { numRuns, ...limits });
    },
    60_000 * runs,
  );
}

/** The lines with others among them; undefined: not there. */
function placed(
  lines: readonly string[],
  others: readonly (readonly [line: string | undefined, place: Place])[],
): string[] {
  const at = (wanted: Place): string[] =>
    others.flatMap(([line, where]) => (line !== undefined && where === wanted ? [line] : []));
  const half = Math.floor(lines.length / 2);
  return [...at("first"), ...lines.slice(0, half), ...at("middle"), ...lines.slice(half), ...at("last")];
}
