/** Why an upload was refused, or would have been with `enforce: true`. Pure. */
import type { UploadView } from "../../observe/uploads-registry.js";
import { words } from "./format.js";

/** @returns the outcome that the upload would have had if it is another one, with the reason; otherwise undefined. */
export function verdictOf(upload: UploadView): { outcome: string; reason: string } | undefined {
  const { verdict, verdictReason = "", outcome = "completed" } = upload;
  if (verdict === undefined || verdict === outcome) return undefined;
  return { outcome: words(verdict), reason: verdictReason };
}

/** @returns one line; undefined if the proxy found no fault. */
export function reasonOf({ reason, verdictReason, invalidSize }: UploadView): string | undefined {
  if (reason === undefined) return verdictReason;
  return invalidSize === undefined ? reason : `${reason} (${invalidSize})`;
}
