import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { collectBody, readSmallAnswer, type SmallAnswer } from "../../src/upstream/small-answer.js";

/** Longer than every test. */
const NEVER_MS = 100_000;

let server: Server | undefined;
const connections: Socket[] = [];
afterEach(() => {
  server?.close();
  for (const connection of connections.splice(0)) connection.destroy();
});

/** A server that answers the first bytes of each connection. */
async function open(answer: (connection: Socket) => void): Promise<ClientRequest> {
  server = createServer((connection) => {
    connections.push(connection);
    connection.on("error", () => undefined).once("data", () => answer(connection));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return request({ host: "127.0.0.1", port, agent: false });
}

async function ask(
  answer: (connection: Socket) => void,
  timeoutMs = NEVER_MS,
): Promise<{ outgoing: ClientRequest; answer: SmallAnswer }> {
  const outgoing = await open(answer);
  const answering = readSmallAnswer(outgoing, { timeoutMs });
  outgoing.end();
  return { outgoing, answer: await answering };
}

const HEAD = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

it("a whole answer has its head and its body", async () => {
  const { answer } = await ask((connection) => connection.end(`${HEAD}hello`));
  expect(answer).toMatchObject({ kind: "answer", head: { statusCode: 200 }, isWhole: true });
  expect(answer.kind === "answer" && answer.body.toString()).toBe("hello");
});

it("an answer that ends with its connection is whole", async () => {
  const { answer } = await ask((connection) => connection.end("HTTP/1.1 200 OK\r\n\r\nhello"));
  expect(answer).toMatchObject({ kind: "answer", isWhole: true });
});

it("an answer without an end is read up to the maximum size, and its connection closes", async () => {
  const piece = Buffer.alloc(64 * 1024, "x");
  const { outgoing, answer } = await ask((connection) => {
    connection.write("HTTP/1.1 200 OK\r\n\r\n");
    const more = (): void => void connection.write(piece, (error) => error ?? more());
    more();
  });
  expect(answer).toMatchObject({ kind: "answer", isWhole: false });
  expect(answer.kind === "answer" && answer.body.length).toBeLessThan(2 * 1024 * 1024);
  await expect.poll(() => outgoing.destroyed).toBe(true);
});

it.each([
  ["before its head", ""],
  ["in its head", "HTTP/1.1 200"],
  ["in its body", `${HEAD}hell`],
])("an answer that is cut off %s is no answer", async (_, bytes) => {
  const { answer } = await ask((connection) => connection.end(bytes));
  expect(answer.kind).toBe("failed");
});

it.each([
  ["without a head", ""],
  ["without the end of its body", `${HEAD}hell`],
])("an answer that stays %s is late, and its connection closes", async (_, bytes) => {
  const { outgoing, answer } = await ask((connection) => connection.write(bytes), 200);
  expect(answer.kind).toBe("late");
  expect(outgoing.destroyed).toBe(true);
});

it("an answer that switches protocols is no answer", async () => {
  const { answer } = await ask((connection) =>
    connection.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
  );
  expect(answer.kind).toBe("failed");
});

it("a request that the caller destroys has no answer", async () => {
  const outgoing = await open(() => outgoing.destroy());
  const answering = readSmallAnswer(outgoing, { timeoutMs: NEVER_MS });
  outgoing.end();
  expect((await answering).kind).toBe("failed");
});

it("an answer that was cut off before its body is collected is cut off", async () => {
  const outgoing = await open((connection) => connection.end(`${HEAD}hell`));
  const [head] = (await once(outgoing.end(), "response")) as [IncomingMessage];
  await new Promise((resolve) => head.once("close", resolve));
  expect((await collectBody(head)).kind).toBe("failed");
});
