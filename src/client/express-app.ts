/** What a server of Node's needs of an Express app: its handler, and requests and responses as Express wants them. */
import { IncomingMessage, ServerResponse, type ServerOptions } from "node:http";

export type Messages = Required<Pick<ServerOptions, "IncomingMessage" | "ServerResponse">>;

/**
 * Fits `app.use()` of Express and `createServer()` of Node alike. Spelled out in Node's types, because those of Express do
 * not come with it, and who installs this package may not have them. `next` is never called.
 */
export type Middleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next?: (error?: unknown) => void,
) => void;

export interface App {
  /** An Express app of its own, which may be mounted in another. */
  readonly handle: Middleware;
  /** For a server of Node's, to spare Express work: see {@link messagesOf}. */
  readonly messages: Messages;
}

/**
 * An app gives whatever it is handed a prototype of its own. V8 then has to look up all that it knew of these objects, in Node's
 * own code too, which is a quarter of what a small request costs. A server that makes them of these classes spares that: they
 * have the app's prototype from the beginning.
 */
export function messagesOf(app: object): Messages {
  class Request extends IncomingMessage {}
  class Response<R extends IncomingMessage> extends ServerResponse<R> {}
  // Express's types do not know these two, and whoever installs the package may have none.
  const prototypes = app as { request: object; response: object };
  Object.setPrototypeOf(Request.prototype, prototypes.request);
  Object.setPrototypeOf(Response.prototype, prototypes.response);
  prototypes.request = Request.prototype;
  prototypes.response = Response.prototype;
  return { IncomingMessage: Request, ServerResponse: Response };
}
