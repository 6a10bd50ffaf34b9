import { createServer } from "node:http";
import { Duplex } from "node:stream";
import fc from "fast-check";
import { expect, it } from "vitest";
import {
  BadFraming,
  type BodyFraming,
  ChunkedFraming,
  LengthFraming,
} from "../../../src/raw-io/body-framing.js";

interface Read {
  readonly body: string;
  readonly verdict: "ended" | "goes on" | "refused";
  /** How many bytes the body took on the wire. */
  readonly taken: number;
}

/** @param cuts where a read ends and the next begins. */
function read(framing: BodyFraming, wire: string, cuts: readonly number[] = []): Read {
  const bytes = Buffer.from(wire, "latin1");
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort(
    (a, b) => a - b,
  );
  const pieces: Buffer[] = [];
  let taken = 0;
  try {
    for (const end of ends) {
      if (framing.ended) break;
      taken += framing.read(bytes.subarray(taken, end), (piece) => pieces.push(Buffer.from(piece)));
    }
  } catch (error) {
    if (!(error instanceof BadFraming)) throw error;
    return { body: Buffer.concat(pieces).toString("latin1"), verdict: "refused", taken };
  }
  const body = Buffer.concat(pieces).toString("latin1");
  return { body, verdict: framing.ended ? "ended" : "goes on", taken };
}

/** What Node's own server makes of the same chunks. */
function readByNode(wire: string): Promise<Omit<Read, "taken"> & { trailers: readonly string[] }> {
  return new Promise((resolve) => {
    const server = createServer();
    const connection = new Duplex({ read: () => undefined, write: (_piece, _encoding, done) => done() });
    let body = "";
    let trailers: readonly string[] = [];
    let verdict: Read["verdict"] = "goes on";
    server.on("request", (request) => {
      request.setEncoding("latin1").on("data", (piece: string) => {
        body += piece;
      });
      request.once("end", () => {
        verdict = "ended";
        trailers = request.rawTrailers;
      });
      request.on("error", () => undefined);
    });
    server.on("clientError", () => {
      if (verdict === "goes on") verdict = "refused";
    });
    server.emit("connection", connection);
    connection.push(
      Buffer.from(`PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${wire}`, "latin1"),
    );
    setImmediate(() => {
      resolve({ body, verdict, trailers });
      connection.destroy();
      server.close();
    });
  });
}

const cuts = fc.array(fc.nat(), { maxLength: 6 });
const extension = fc.constantFrom(
  "",
  "",
  "",
  ";a",
  ";a=b",
  ';a="b;c"',
  ";a=b;c",
  ";;",
  "; a",
  ";a=",
  ';a="b',
  " ",
  ";a\t",
);
const chunk = fc
  .tuple(fc.string({ minLength: 1, maxLength: 20 }), extension, fc.nat({ max: 3 }), fc.boolean())
  .map(([text, more, zeros, upper]) => {
    const data = Buffer.from(text).toString("latin1");
    const size = "0".repeat(zeros) + data.length.toString(16);
    return `${upper ? size.toUpperCase() : size}${more}\r\n${data}\r\n`;
  });
const trailer = fc.constantFrom(
  "X-A: b\r\n",
  "x:\r\n",
  "X-B: \t b c\t \r\n",
  "X-A : b\r\n",
  " folded\r\n",
  "Content-Length: 5\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Connection: upgrade\r\n",
  "X-A: \x01\r\n",
  "X-A: \xff\r\n",
  "X\r\n",
  ": x\r\n",
  "X-A: b\n",
);
const whole = fc
  .tuple(
    fc.array(chunk, { maxLength: 4 }),
    fc.constantFrom("0", "000", "0;a"),
    fc.array(trailer, { maxLength: 2 }),
  )
  .map(([chunks, last, trailers]) => `${chunks.join("")}${last}\r\n${trailers.join("")}\r\n`);
/** As sent, or with a few bytes taken out, put in or changed. */
const mangled = fc
  .tuple(
    whole,
    fc.array(
      fc.tuple(
        fc.nat(),
        fc.constantFrom("", "\r", "\n", "\r\n", "0", "5", "a", ";", " ", "\0", "-", "+", "x"),
        fc.nat({ max: 2 }),
      ),
      { maxLength: 3 },
    ),
    fc.constantFrom("", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "0\r\n\r\n"),
  )
  .map(([wire, changes, behind]) => {
    let text = wire;
    for (const [at, put, drop] of changes) {
      const from = at % (text.length + 1);
      text = text.slice(0, from) + put + text.slice(from + drop);
    }
    return text + behind;
  });

it("a chunked body that is accepted as complete is the same body for Node, and ends at the same byte", async () => {
  await fc.assert(
    fc.asyncProperty(mangled, cuts, async (wire, where) => {
      const framing = new ChunkedFraming();
      const ours = read(framing, wire, where);
      if (ours.verdict === "ended") {
        const { body, verdict } = ours;
        const { trailers } = framing;
        expect(await readByNode(wire.slice(0, ours.taken))).toEqual({ body, verdict, trailers });
        expect((await readByNode(wire.slice(0, ours.taken - 1))).verdict).toBe("goes on");
      } else if (ours.verdict === "goes on") {
        // A line is judged here when it ends, there with its first bad byte.
        const theirs = await readByNode(wire);
        expect(theirs.body).toBe(ours.body);
        expect(theirs.verdict).not.toBe("ended");
      }
    }),
    { numRuns: 2_000 },
  );
});

it("a body in well-formed chunks is read completely, however it is split", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1, maxLength: 300 })), cuts, (texts, where) => {
      const parts = texts.map((text) => Buffer.from(text).toString("latin1"));
      const wire = [...parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`), "0\r\n\r\n"].join(
        "",
      );
      expect(read(new ChunkedFraming(), `${wire}more`, where)).toEqual({
        body: parts.join(""),
        verdict: "ended",
        taken: wire.length,
      });
    }),
  );
});

it.each([
  ["a size that is no number", "x\r\n"],
  ["no size", "\r\n"],
  ["a sign", "+5\r\nhello\r\n"],
  ["a blank before the size", " 5\r\nhello\r\n"],
  ["a size beyond what can be counted", "ffffffffffffff\r\n"],
  ["a line that never ends", "0".repeat(300)],
  ["a bare LF behind the size", "5\nhello\r\n"],
  ["a bare LF behind the data", "5\r\nhello\n"],
  ["data that goes on", "5\r\nhello!\r\n"],
  ["trailers that never end", `0\r\n${"X-A: b\r\n".repeat(2_000)}`],
  ["a trailer that tells a length", "0\r\nContent-Length: 5\r\n\r\n"],
  ["a trailer without a colon", "0\r\nX\r\n\r\n"],
])("%s is refused", (_, wire) => {
  expect(read(new ChunkedFraming(), wire).verdict).toBe("refused");
  expect(read(new ChunkedFraming(), wire, [1, 2, 3, 4, 5, 6, 7]).verdict).toBe("refused");
});

it("a body of Content-Length ends at its last byte", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), cuts, (text, where) => {
      const body = Buffer.from(text).toString("latin1");
      expect(read(new LengthFraming(body.length), `${body}more`, where)).toEqual({
        body,
        verdict: "ended",
        taken: body.length,
      });
    }),
  );
  expect(read(new LengthFraming(5), "hell").verdict).toBe("goes on");
});
