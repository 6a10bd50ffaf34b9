/** What `glance-size-proxy report` makes of the lines of a log. */
import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../../src/config/config-error.js";
import { openLog, runReport } from "../../../src/report/report.js";
import { type Report, reportSchema } from "../../../src/report/report-schema.js";

const GIB = 2 ** 30;

/** An upload's log line, as upload.ts writes it. */
function line(fields: Record<string, unknown> = {}): string {
  const upload = {
    level: "info",
    time: "2026-11-20T10:00:00.000Z",
    startedAt: "2026-11-20T09:59:59.000Z",
    requestId: "req-1",
    imageId: "one",
    operation: "file",
    peer: "10.0.0.1",
    userAgent: "python-glanceclient",
    sizeSource: "header",
    declaredBytes: 5,
    receivedBytes: 5,
    outcome: "completed",
    durationSeconds: 1,
    msg: "upload",
  };
  return `${JSON.stringify({ ...upload, ...fields })}\n`;
}

async function report(...pieces: (string | Buffer)[]): Promise<Report> {
  let text = "";
  const logs = [Readable.from(pieces.map((piece) => Buffer.from(piece)))];
  await runReport({ logs, json: true }, (written) => (text += written));
  return reportSchema.parse(JSON.parse(text));
}

async function render(...pieces: string[]): Promise<string> {
  let text = "";
  const logs = [Readable.from(pieces.map((piece) => Buffer.from(piece)))];
  await runReport({ logs, json: false }, (written) => (text += written));
  return text;
}

describe("the lines", () => {
  it.each([
    ["as they are", line()],
    ["behind what journald writes", `Nov 20 10:00:00 host glance-size-proxy[12]: ${line()}`],
    ["behind what a container runtime writes", `2026-11-20T10:00:00.1Z stdout F ${line()}`],
    ["in a field of journald's JSON", JSON.stringify({ MESSAGE: line().trimEnd(), PRIORITY: "6" })],
    ["in a field of Docker's JSON", JSON.stringify({ log: line(), stream: "stdout" })],
  ])("are read %s", async (_, text) => {
    expect(await report(text)).toMatchObject({ uploads: 1, lines: { read: 1, broken: 0 } });
  });

  it("that are broken are counted, and lines about other things are skipped", async () => {
    const { uploads, lines } = await report(
      line().slice(0, 100) + "\n",
      line({ receivedBytes: "5" }),
      line({ startedAt: "yesterday" }),
      line({ msg: "draining" }),
      "-- Boot 1234 --\n\n[]\n",
      line(),
    );
    expect({ uploads, lines }).toEqual({ uploads: 1, lines: { read: 8, broken: 3 } });
  });

  it("that are endless do not fill the memory, and the next line is read", async () => {
    const endless = Array.from({ length: 200 }, () => Buffer.alloc(64 * 1024, "x"));
    expect(await report(...endless, `\n${line()}`)).toMatchObject({
      uploads: 1,
      lines: { read: 2, broken: 1 },
    });
  });

  it("may be cut anywhere between two reads", async () => {
    const text = Buffer.from(line({ userAgent: "größe/1" }) + line({ userAgent: "größe/1" }));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(text.length)), async (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), text.length];
        const pieces = at.slice(1).map((end, index) => text.subarray(at[index], end));
        expect((await report(...pieces)).clients).toMatchObject([{ program: "größe/1", uploads: 2 }]);
      }),
      { numRuns: 50 },
    );
  });

  it("without an upload, and a file that is not there, are faults", async () => {
    await expect(report(line({ msg: "listening" }))).rejects.toThrow(ConfigError);
    await expect(runReport({ logs: [openLog("/none/such")], json: false }, () => undefined)).rejects.toThrow(
      "--from /none/such: ENOENT",
    );
  });
});

it("an upload counts by its verdict if it was observed, and by its outcome otherwise", async () => {
  const { refused, observed, clients, advice } = await report(
    line({ verdict: "completed" }),
    line({ verdict: "size_exceeded", verdictReason: "Size exceeds: expected 4 bytes, got 5 bytes" }),
    line({ verdict: "size_exceeded", verdictReason: "another" }),
    line({ outcome: "client_aborted", verdict: "client_aborted" }),
    line({ outcome: "too_large", reason: "too large", status: 413 }),
    line({ outcome: "upstream_rejected", status: 409 }),
  );
  expect({ refused, observed }).toEqual({ refused: 3, observed: 4 });
  expect(clients).toMatchObject([
    {
      uploads: 6,
      refusals: [
        {
          verdict: "size_exceeded",
          status: "400",
          uploads: 2,
          example: { requestId: "req-1", reason: "Size exceeds: expected 4 bytes, got 5 bytes" },
        },
        { verdict: "too_large", status: "413", uploads: 1 },
      ],
    },
  ]);
  expect(advice).toContainEqual(
    expect.stringContaining(
      "2 uploads by python-glanceclient (mostly from 10.0.0.1) got or would get 400 (size_exceeded): Size exceeds",
    ),
  );
});

describe("the spool", () => {
  const undeclared = (end: string, durationSeconds: number, receivedBytes: number): string =>
    line({
      ...{ sizeSource: "unknown", declaredBytes: undefined, receivedBytes, durationSeconds },
      startedAt: new Date(Date.parse(`2026-11-20T${end}.000Z`) - durationSeconds * 1_000).toISOString(),
    });

  it("must hold what was uploaded at the same time", async () => {
    const { undeclared: found, advice } = await report(
      undeclared("10:00:00", 3600, 8 * GIB), // 9 to 10
      undeclared("10:30:00", 3600, 4 * GIB), // 9:30 to 10:30
      undeclared("11:00:00", 1800, 5 * GIB), // 10:30 to 11: begins as the other ends
      undeclared("09:45:00", 60, 1 * GIB), // out of order: another worker
      line({ receivedBytes: 100 * GIB, durationSeconds: 86_400 }), // its size is declared
    );
    expect(found).toEqual({
      uploads: 4,
      totalBytes: 18 * GIB,
      largestBytes: 8 * GIB,
      peakBytes: 13 * GIB,
      peakAt: "2026-11-20T09:44:00.000Z",
    });
    expect(advice[0]).toContain("4 of 5 uploads (80 %) declared no size: python-glanceclient.");
    expect(advice[0]).toContain("spool.maxTotal: 17GiB");
  });

  it("is never said to need less than it does, however many times the log has", async () => {
    const count = 60_000; // two times each: more than are told apart
    const lines: string[] = [];
    for (let index = 0; index < count; index += 1) {
      const startedAt = new Date(Date.UTC(2026, 10, 20) + index * 1_009).toISOString();
      lines.push(line({ sizeSource: "unknown", receivedBytes: 1_000, durationSeconds: 10.0005, startedAt }));
    }
    const { undeclared: found } = await report(lines.join(""));
    expect(found.peakBytes).toBeGreaterThanOrEqual(10_000);
    expect(found.peakBytes).toBeLessThanOrEqual(12_000);
  });

  it("counts uploads that were spooled already", async () => {
    const { undeclared: found } = await report(line({ sizeSource: "spooled", receivedBytes: 7 }));
    expect(found).toMatchObject({ uploads: 1, peakBytes: 7 });
  });
});

describe("clients", () => {
  it("are grouped by the first word of their User-Agent, the busiest first", async () => {
    const { clients } = await report(
      line({ userAgent: "curl/8.5.0" }),
      line({ userAgent: "openstacksdk/4.1 keystoneauth1/5.1" }),
      line({ userAgent: "openstacksdk/4.1 keystoneauth1/5.2", peer: "10.0.0.2" }),
      line({ userAgent: undefined }),
    );
    expect(clients.map(({ client, program, uploads }) => [client, program, uploads])).toEqual([
      ["openstacksdk", "openstacksdk/4.1", 2],
      ["curl", "curl/8.5.0", 1],
      ["other", "(no User-Agent)", 1],
    ]);
    expect(clients[0]?.peers).toEqual([
      { address: "10.0.0.1", uploads: 1 },
      { address: "10.0.0.2", uploads: 1 },
    ]);
  });

  it("cannot fill the memory with names and addresses, and each upload is counted", async () => {
    const made = Array.from({ length: 3_000 }, (_, n) => line({ userAgent: `x${n}`, peer: `10.0.0.${n}` }));
    const same = Array.from({ length: 3_000 }, (_, n) => line({ userAgent: "x0", peer: `10.1.0.${n}` }));
    const { clients } = await report(...made, ...same);
    expect(clients.length).toBeLessThanOrEqual(206);
    expect(clients.reduce((sum, { uploads }) => sum + uploads, 0)).toBe(6_000);
    for (const { uploads, peers, otherPeers } of clients) {
      expect(peers.length).toBeLessThanOrEqual(10);
      expect(peers.reduce((sum, peer) => sum + peer.uploads, otherPeers)).toBe(uploads);
    }
  });

  it("cannot control the terminal", async () => {
    const text = await render(
      line({ userAgent: "\u001b[2Jx\u202e\u009b", verdict: "invalid_size", verdictReason: "\u001b" }),
    );
    for (const control of ["\u001b", "\u202e", "\u009b"]) expect(text).not.toContain(control);
    expect(text).toContain("?[2Jx??");
  });
});

it("the text has tables and advice", async () => {
  const text = await render(
    line({ verdict: "completed" }),
    line({ verdict: "completed", sizeSource: "unknown", receivedBytes: 3 * GIB, durationSeconds: 60 }),
    line({ verdict: "invalid_size", verdictReason: 'Invalid (x: "+5")', userAgent: "curl/8.5.0" }),
  );
  expect(text).toMatchInlineSnapshot(`
    "3 uploads from 2026-11-20 09:59 to 2026-11-20 10:00 UTC.
    1 would be refused with enforce: true. 1 declared no size.

    Clients

      client        program              uploads  no size  refused  most uploads from
      glanceclient  python-glanceclient  2        1        0        10.0.0.1 (2)
      curl          curl/8.5.0           1        0        1        10.0.0.1 (1)

    Refusals

      program     uploads  status  verdict       example  reason
      curl/8.5.0  1        400     invalid_size  req-1    Invalid (x: "+5")

    Spool, if uploads without a declared size are spooled

      uploads           1
      all together      3 GiB
      largest           3 GiB
      at the same time  3 GiB (2026-11-20 09:59 UTC)

    Advice

    - 1 of 3 uploads (34 %) declared no size: python-glanceclient. If the store needs the size (S3, RBD, Cinder), set size.unknown: spool and spool.maxTotal: 4GiB, with as much disk at spool.dir. That is the peak and a quarter more.
    - 1 upload by curl/8.5.0 (mostly from 10.0.0.1) would get 400 (invalid_size): Invalid (x: "+5"). The client must send the size as a decimal number, once.
    - Correct these clients, or accept the refusals. Then set enforce: true.
    "
  `);
});

it("advises to enforce, if nothing would be refused, and to require sizes, if all are declared", async () => {
  expect((await report(line({ verdict: "completed" }))).advice).toEqual([
    "Every upload declared its size. You can set size.unknown: reject.",
    "No upload would be refused. Set enforce: true.",
  ]);
});
