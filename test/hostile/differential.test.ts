/**
 * Requests whose body is hidden behind a long head: Glance executes what the proxy has counted and nothing else, whichever
 * server it runs under and whoever stands between. `HOSTILE_RUNS` repeats each row, and then asks every combination.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NODE_CUTS_HEADS } from "../support/node-cuts-heads.js";
import { relayUnderTest } from "../support/proxy.js";
import { describeWith } from "../support/requirements.js";
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
import { itTakesMadeUpHeads } from "./made-up-heads.js";
import {
  MIDDLEWARE,
  requirementsOf,
  type RunningTopology,
  startTopology,
  TOPOLOGIES,
  useGlances,
} from "./topologies.js";
import { type Answer, Witness } from "./witness.js";

const RUNS = Number(process.env["HOSTILE_RUNS"] ?? 1);

/** Each takes a body, or nothing; none is an upload. */
const OUTER: readonly (readonly [method: string, target: (id: string) => string])[] = [
  ["GET", () => "/v2/images"],
  ["HEAD", () => "/v2/images"],
  ["DELETE", () => "/v2/images/nope"],
  ["OPTIONS", () => "/v2/images"],
  ["TRACE", () => "/v2/images"],
  ["POST", () => "/v2/images"],
  ["PATCH", (id) => `/v2/images/${id}`],
  ["PUT", (id) => `/v2/images/${id}/members/nope`],
];

interface Row {
  readonly method: string;
  readonly target: (id: string) => string;
  readonly padding: Padding;
  readonly framing: Framing;
}

/** Every method with every padding if that costs little; otherwise each method and each padding once. */
function rowsOf(methods: readonly string[], all: boolean): Row[] {
  return OUTER.filter(([method]) => methods.includes(method)).flatMap(([method, target], turn) =>
    PADDING_NAMES.filter((_, index) => all || index === turn % PADDING_NAMES.length).flatMap((padding) =>
      FRAMINGS.map((framing) => ({ method, target, padding, framing })),
    ),
  );
}

/** The lines that do not go to Glance, so that its server has no reason to refuse the head. */
const DROPPED: readonly Padding[] = ["lines with an underscore", "lines that Connection names"];

const METHODS = OUTER.map(([method]) => method);
/** Those that are sent as if they had no body. */
const BODILESS = ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"];

const glanceUnder = useGlances();

describe.each([...TOPOLOGIES, ...MIDDLEWARE])("In front of $name,", (topology) => {
  describeWith(requirementsOf(topology), "behind a long head", () => {
    // The relay carries uploads alone: for what is no upload, once over all combinations is enough.
    const all = RUNS > 1 || (topology === TOPOLOGIES[0] && relayUnderTest() === "stream");
    let running: RunningTopology;
    let witness: Witness;
    beforeAll(async () => {
      running = await startTopology(topology, await glanceUnder(topology.server));
      witness = await Witness.of(running);
    });
    afterAll(() => (running as RunningTopology | undefined)?.stop());

    /** Sends it with a hidden request that is aimed at the image, which has to stay as it is. */
    async function ask(row: Row, hide: (id: string) => string): Promise<void> {
      const { method, target, padding, framing } = row;
      const id = await witness.image();
      const other = await witness.image();
      const body = framed(hide(id), framing);
      const lines = [...PADDINGS[padding](), body.line];
      const answer = await witness.ask({ method, target: target(other), lines, payload: body.payload });
      // If Node cuts the head, the middleware refuses it in Glance's words. Newer ones refuse it themselves, in theirs.
      if (topology.middleware) expect(answer).toMatchObject({ status: 431, refused: NODE_CUTS_HEADS });
      for (let next = 0; next < 2; next += 1) expect(await witness.nextClient()).toBe(undefined);
      expect(await witness.strangers()).toEqual([]);
      expect(await witness.bytesOf(id)).toBe(undefined);
      witness.putBack(id);
      witness.putBack(other);
    }

    /** Uploads `hello`; the size is the last line. */
    async function upload(
      { padding, framing }: Pick<Row, "padding" | "framing">,
      id: string,
      size: number,
      lineCount?: number,
    ): Promise<Answer> {
      const body = framed("hello", framing);
      const type = "Content-Type: application/octet-stream";
      const lines = [type, body.line, ...PADDINGS[padding](lineCount), `x-openstack-image-size: ${size}`];
      const target = `/v2/images/${id}/file`;
      return witness.ask({ method: "PUT", target, lines, payload: body.payload }, 20_000);
    }

    async function repeatedly(row: () => Promise<void>): Promise<void> {
      for (let run = 0; run < RUNS; run += 1) await row();
    }

    it.each(rowsOf(METHODS, all))(
      "$method, $padding, $framing: a whole upload in its body is not executed",
      (row) => repeatedly(() => ask(row, (id) => hiddenUpload(id, witness.token()))),
    );

    it.each(rowsOf(BODILESS, all))(
      "$method, $padding, $framing: an unfinished upload in its body does not swallow the next client's request",
      (row) => repeatedly(() => ask(row, (id) => hiddenOpenUpload(id, witness.token()))),
    );

    it.each(rowsOf(BODILESS, all))(
      "$method, $padding, $framing: an unfinished DELETE in its body is not authorised by the next client's token",
      (row) => repeatedly(() => ask(row, hiddenOpenDelete)),
    );

    // Of the others, too many for Glance's server: an upload behind them may be answered as late as `rollback.timeout`.
    const paddings = topology === TOPOLOGIES[0] ? PADDING_NAMES : DROPPED;
    const uploads = paddings.flatMap((padding) => FRAMINGS.map((framing) => ({ padding, framing })));

    it.each(uploads)("$padding, $framing: a size that is declared behind them is enforced", (row) =>
      repeatedly(async () => {
        const { status } = await upload(row, await witness.image(), 4);
        expect([400, 431]).toContain(status);
      }),
    );

    it.each(uploads)(
      "$padding, $framing: a correct upload is accepted completely, or refused for its head",
      (row) =>
        repeatedly(async () => {
          const id = await witness.image();
          const { status } = await upload(row, id, 5, 3_000);
          expect([204, 431]).toContain(status);
          if (status === 204) witness.holds(id, "hello");
        }),
    );

    if (!topology.middleware) itTakesMadeUpHeads(topology, () => witness, RUNS);

    it("Glance executed only requests that the proxy counted, and each image has the declared bytes or none", async () => {
      expect(await witness.verdict()).toEqual([]);
    });
  });
});
