/**
 * Lets browsers send `x-openstack-image-size`. A browser asks Glance before a cross-origin upload which headers it may send. Glance's own list
 * (`[cors] allow_headers`) does not have this one, and Glance answers a question with an unknown header as if the origin were unknown. So
 * the proxy asks Glance without this header, and adds it to an answer that allows the rest. Pure.
 */
import { allowedOrigin } from "../client/cross-origin.js";
import { listElements, type RequestHead, valuesOf } from "../http/request-head.js";
import { SIZE_HEADER } from "../vocabulary/size-header.js";
import type { Amendment } from "./pass-through.js";

const ASKED = "access-control-request-headers";
const ANSWERED = "access-control-allow-headers";

/**
 * @param head of an OPTIONS request for an upload.
 * @param allowed `cors.allowedOrigins`
 * @returns undefined if the request goes on as it is.
 */
export function amendPreflight(head: RequestHead, allowed: readonly string[]): Amendment | undefined {
  const asked = listElements(head.values(ASKED));
  if (!asked.some(isSizeHeader) || allowedOrigin(head, allowed) === undefined) return undefined;
  const others = asked.filter((name) => !isSizeHeader(name));
  return {
    request(lines) {
      const kept = lines.filter(({ name }) => name !== ASKED);
      return others.length === 0 ? kept : [...kept, { name: ASKED, value: others.join(",") }];
    },
    answer(lines) {
      const allows = (name: string): readonly string[] => listElements(valuesOf(lines, name));
      if (allows("access-control-allow-origin").length === 0) return lines;
      const names = [...allows(ANSWERED).filter((name) => !isSizeHeader(name)), SIZE_HEADER];
      return [...lines.filter(({ name }) => name !== ANSWERED), { name: ANSWERED, value: names.join(",") }];
    },
  };
}

function isSizeHeader(name: string): boolean {
  return name.toLowerCase() === SIZE_HEADER;
}
