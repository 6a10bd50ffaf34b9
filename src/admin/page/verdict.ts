/** What a proxy with `enforce: false` says of an upload that it passed on. Pure. */
import type { UploadView } from "../../observe/uploads-registry.js";
import { words } from "./format.js";

/** @returns the outcome that the upload would have had if it is another one, with the reason; otherwise undefined. */
export function verdictOf(upload: UploadView): { outcome: string; reason: string } | undefined {
  const { verdict, verdictReason = "", outcome = "completed" } = upload;
  if (verdict === undefined || verdict === outcome) return undefined;
  return { outcome: words(verdict), reason: verdictReason };
}
