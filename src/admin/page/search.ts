/** Finds uploads by what an operator may have of them: an id, an address, a program, a word of the page. Pure. */
import type { UploadView } from "../../observe/uploads-registry.js";
import { words } from "./format.js";
import { verdictOf } from "./verdict.js";

/** @param search words, each of which an upload must have in one of its fields. Upper and lower case are the same. */
export function matches(search: string): (upload: UploadView) => boolean {
  const wanted = search.toLowerCase().split(/\s+/).filter(Boolean);
  return (upload) => {
    if (wanted.length === 0) return true;
    const text = searchable(upload);
    return wanted.every((word) => text.includes(word));
  };
}

function searchable(upload: UploadView): string {
  const { imageId, requestId, glanceRequestId, clientRequestId, traceparent } = upload;
  const { peer, client, userAgent, owner, operation, sizeSource, outcome = "", status } = upload;
  return [
    ...[imageId, requestId, glanceRequestId, clientRequestId, traceparent],
    ...[
      peer,
      client,
      userAgent,
      owner,
      operation,
      sizeSource,
      words(sizeSource),
      outcome,
      words(outcome),
      status,
    ],
    verdictOf(upload)?.outcome,
  ]
    .join("\n")
    .toLowerCase();
}
