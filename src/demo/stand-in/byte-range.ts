/** Parses the `Range` header of a download as Glance does (`get_range_from_request` in glance/common/wsgi.py). Pure. */
import { Refusal } from "./images.js";

export interface ByteRange {
  readonly start: number;
  /** Inclusive. */
  readonly end: number;
}

/** @throws Refusal 400 if there are several ranges, 416 if the range is malformed or begins after the end. */
export function parseByteRange(header: string, sizeBytes: number): ByteRange {
  if (header.includes(",")) {
    throw new Refusal(
      400,
      "Requests with multiple ranges are not supported in Glance. You may make multiple single-range requests instead.",
    );
  }
  const match = /^bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header);
  const [, first = "", last = ""] = match ?? [];
  const start = first === "" ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const end = first === "" || last === "" ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  if (first === "" && last === "") throw new Refusal(416, "The Range requested is not available.");
  if (first === "" && Number(last) === 0) return { start: 0, end };
  if (start >= sizeBytes || (last !== "" && first !== "" && Number(last) < start)) {
    throw new Refusal(416, "The Range requested is not available.");
  }
  return { start, end };
}
