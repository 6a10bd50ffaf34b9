declare module "on-headers-before-1.1" {
  import type { ServerResponse } from "node:http";
  /** Calls back when the head of the response is about to be written. */
  export default function onHeaders(response: ServerResponse, listener: (this: ServerResponse) => void): void;
}
