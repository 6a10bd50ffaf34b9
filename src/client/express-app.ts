/** What a Node server needs from an Express app: the handler, and the classes of requests and responses. */
import { IncomingMessage, type ServerOptions, ServerResponse } from "node:http";

export type Messages = Required<Pick<ServerOptions, "IncomingMessage" | "ServerResponse">>;

/**
 * Fits `app.use()` of Express and `createServer()` of Node. Uses Node's types only, because users of this package may not have those of
 * Express. `next` is never called.
 */
export type Middleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next?: (error?: unknown) => void,
) => void;

export interface App {
  /** An Express app, which can be mounted in another one. */
  readonly handle: Middleware;
  /** Options for a Node server, to save CPU: see {@link messagesOf}. */
  readonly messages: Messages;
}

/**
 * Express changes the prototype of each request and response, which makes every later property access slower, in Node's code too:
 * measured, 25 % of a small request's CPU time. Requests and responses of these classes have the right prototype from the start.
 */
export function messagesOf(app: object): Messages {
  class Request extends IncomingMessage {}
  class Response<R extends IncomingMessage> extends ServerResponse<R> {}
  // Not in Express's types.
  const prototypes = app as { request: object; response: object };
  Object.setPrototypeOf(Request.prototype, prototypes.request);
  Object.setPrototypeOf(Response.prototype, prototypes.response);
  prototypes.request = Request.prototype;
  prototypes.response = Response.prototype;
  return { IncomingMessage: Request, ServerResponse: Response };
}
