/**
 * A Glance that speaks HTTP by hand, so that a test decides on every byte and on how each connection ends. It reads and says
 * `100 Continue` as eventlet does until the upload has come as far as the script says; then the script acts. It stores
 * nothing.
 */
import { once } from "node:events";
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "../support/free-port.js";
import { eventually } from "./eventually.js";
import { MessageReader } from "./message-reader.js";

/** How far an upload has come, seen from Glance. */
export type Stage =
  /** The connection is accepted. */
  | "accepted"
  /** The head is there, and nothing was said to it. */
  | "head"
  /** Half of the body is there. */
  | "body"
  /** Everything that can be there while the client has not ended its body. */
  | "held back"
  /** The body is whole. */
  | "whole";

/** What Glance does to a connection; from then on only this decides, though what comes is read unless it says otherwise. */
export type Act = (connection: GlanceConnection) => void;

export interface Script {
  readonly at: Stage;
  readonly act: Act;
  /** Bytes of the image. */
  readonly size: number;
  /** The status that the first look-up shows, if the upload has begun for Glance; that look-up is not in the script's hands. */
  readonly begun?: string;
  /** What becomes of every later connection: the look-ups of the image. */
  readonly lookUp?: { readonly at: "accepted" | "whole"; readonly act: Act };
}

export class GlanceConnection {
  readonly received = new MessageReader();
  #slow = false;

  constructor(readonly socket: net.Socket) {}

  send(bytes: string): void {
    if (this.socket.writable) this.socket.write(bytes, "latin1");
  }

  #dribbled: Promise<void> = Promise.resolve();

  /** A few bytes at a time, behind what is still to be sent that way. */
  dribble(bytes: string): void {
    this.#dribbled = this.#dribbled.then(async () => {
      for (const piece of bytes.match(/[^]{1,8}/g) ?? []) {
        await delay(5);
        if (this.socket.destroyed) return;
        this.send(piece);
      }
    });
  }

  /** From now on a piece is read every few milliseconds. */
  readSlowly(): void {
    this.#slow = true;
  }

  takes(piece: Buffer): void {
    this.received.push(piece);
    if (!this.#slow) return;
    this.socket.pause();
    setTimeout(() => this.socket.resume(), 5);
  }

  /** Resolves when the request is whole; never if it does not become whole. */
  whole(): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (this.received.complete) resolve();
        else this.socket.once("data", () => setImmediate(check));
      };
      check();
    });
  }
}

export interface ScriptedGlance {
  readonly port: number;
  readonly url: string;
  /** Those since the script began; the first is the upload's, all others look the image up. */
  readonly connections: readonly GlanceConnection[];
  play(script: Script): void;
  /** From now on, until `play`, a look whether Glance is there finds it well, and is not among `connections`. */
  rest(): void;
  /** Resolves once the script has acted on the upload. */
  acted(): Promise<void>;
  /** From now on connections are refused, until `listen`. Those that are open stay. */
  refuse(): Promise<void>;
  listen(): Promise<void>;
  /** Reads all that is left on every connection, to its end. */
  readToTheEnd(): Promise<void>;
  stop(): Promise<void>;
}

export const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";
export const NO_CONTENT = "HTTP/1.1 204 No Content\r\n\r\n";

export function answerOf(status: number, body: string): string {
  return `HTTP/1.1 ${status} Scripted\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

export function showImage(status: string): Act {
  return (connection) => connection.send(answerOf(200, JSON.stringify({ status, size: null })));
}

export async function startScriptedGlance(): Promise<ScriptedGlance> {
  let connections: GlanceConnection[] = [];
  let script: Script = { at: "whole", act: (connection) => connection.send(NO_CONTENT), size: 0 };
  let acted = false;
  let resting = false;
  /** Nobody else gets it while this Glance refuses connections. */
  const port = await freePort();

  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const connection = new GlanceConnection(socket);
    const follow = followerOf(connection);
    if (!resting) connections.push(connection);
    socket.on("error", () => undefined); // a reset is what many a test is about
    socket.on("end", () => socket.destroy());
    socket.on("data", (piece) => {
      connection.takes(piece);
      follow();
    });
    follow();
  });

  function followerOf(connection: GlanceConnection): () => void {
    if (resting) return followLookUp(connection);
    if (connections.length === 0) return followUpload(connection);
    const isFirst = connections.length === 1 && script.begun !== undefined;
    return followLookUp(
      connection,
      isFirst ? { at: "whole", act: showImage(script.begun ?? "") } : script.lookUp,
    );
  }

  function followUpload(connection: GlanceConnection): () => void {
    const { at, act, size } = script;
    const { received } = connection;
    let saidContinue = false;
    return () => {
      if (acted) return;
      const begins = at !== "accepted" && at !== "head";
      if (begins && received.head !== undefined && !saidContinue) {
        saidContinue = true;
        connection.send(CONTINUE);
      }
      if (!has(at)) return;
      acted = true;
      act(connection);
    };

    function has(stage: Stage): boolean {
      switch (stage) {
        case "accepted":
          return true;
        case "head":
          return received.head !== undefined;
        case "body":
          return received.bodyBytes >= size / 2;
        case "held back":
          // Without a length nothing is held back but the last chunk.
          return received.bodyBytes >= (received.length === undefined ? size : size - 1);
        case "whole":
          return received.complete;
      }
    }
  }

  /** As Glance shows it: in progress for as long as the upload has its connection. */
  function status(): string {
    const [upload] = connections;
    if (resting || upload?.received.head === undefined || upload.socket.destroyed) return "queued";
    return /^PUT \S+\/stage /.test(upload.received.head) ? "uploading" : "saving";
  }

  function followLookUp(
    connection: GlanceConnection,
    { at, act }: NonNullable<Script["lookUp"]> = { at: "whole", act: (look) => showImage(status())(look) },
  ): () => void {
    let done = false;
    return () => {
      if (done || !(at === "accepted" || connection.received.complete)) return;
      done = true;
      act(connection);
    };
  }

  async function listen(): Promise<void> {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  }

  await listen();
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    get connections() {
      return connections;
    },
    play(next) {
      connections = [];
      acted = false;
      resting = false;
      script = next;
    },
    rest() {
      resting = true;
    },
    acted: () => eventually(() => acted, "the upload to come as far as the script says"),
    async refuse() {
      // Resolves only when every connection is gone, which is not to be waited for.
      server.close();
      await eventually(() => !server.listening, "the listener to close");
    },
    listen,
    async readToTheEnd() {
      for (const { socket } of connections) socket.resume();
      await eventually(
        () => connections.every(({ socket }) => socket.destroyed),
        "the proxy to end its connections to Glance",
      );
    },
    async stop() {
      for (const { socket } of connections) socket.destroy();
      if (!server.listening) return;
      server.close();
      await once(server, "close");
    },
  };
}
