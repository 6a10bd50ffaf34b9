/** Requests and responses as Express wants them. */
import { IncomingMessage, ServerResponse, type ServerOptions } from "node:http";

export type Messages = Required<Pick<ServerOptions, "IncomingMessage" | "ServerResponse">>;

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
