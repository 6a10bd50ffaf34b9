/** Finds the upload that a user's ticket names. Pure. */
import type { UploadsSnapshot, UploadView } from "./uploads-registry.js";

/** @param text part of an id of client, proxy or Glance, of a trace, or of the image. Case does not matter. */
export function findUploads({ inFlight, finished }: UploadsSnapshot, text: string): UploadsSnapshot {
  const wanted = text.trim().toLowerCase();
  const isWanted = (upload: UploadView): boolean =>
    idsOf(upload).some((id) => id?.toLowerCase().includes(wanted) === true);
  return { inFlight: inFlight.filter(isWanted), finished: finished.filter(isWanted) };
}

function idsOf(upload: UploadView): readonly (string | undefined)[] {
  const { requestId, clientRequestId, glanceRequestId, traceparent, imageId } = upload;
  return [requestId, clientRequestId, glanceRequestId, traceparent, imageId];
}
