/**
 * Checks the digests that a client sends of its body: `Content-Digest` and `Repr-Digest` (RFC 9530) and `Content-MD5`, in the head or as
 * trailers. An upload is whole and not coded, so all three are digests of the same bytes. Every digest that was sent must be right.
 * Only the algorithms that were sent are computed. A trailer must be announced in `Trailer`, because the first byte is already hashed.
 */
import { createHash, type Hash } from "node:crypto";
import { parseDictionary } from "structured-headers";
import type { AnnouncedBody } from "../http/announced-body.js";
import type { BodyHasher } from "../http/body.js";
import { type HeaderLine, listElements, type RequestHead, valuesOf } from "../http/request-head.js";
import { ProxyError } from "../vocabulary/errors.js";

/** Node's names, and the sizes of the digests. RFC 9530 calls all other algorithms insecure. */
const ALGORITHMS = {
  "sha-256": { hash: "sha256", bytes: 32 },
  "sha-512": { hash: "sha512", bytes: 64 },
  md5: { hash: "md5", bytes: 16 },
} as const;
type Algorithm = keyof typeof ALGORITHMS;

/** The fields with the algorithms that they may have. */
const FIELDS: ReadonlyMap<string, { readonly title: string; readonly algorithms: readonly Algorithm[] }> =
  new Map([
    ["content-digest", { title: "Content-Digest", algorithms: ["sha-256", "sha-512"] }],
    ["repr-digest", { title: "Repr-Digest", algorithms: ["sha-256", "sha-512"] }],
    ["content-md5", { title: "Content-MD5", algorithms: ["md5"] }],
  ]);

/** A digest that the client sent. */
interface Sent {
  readonly field: string;
  readonly algorithm: Algorithm;
  readonly base64: string;
}

export class BodyDigests implements BodyHasher {
  readonly #sent: Sent[];
  /** Names of the trailers to read. */
  readonly #trailers: ReadonlySet<string>;
  readonly #hashes: { readonly algorithm: Algorithm; readonly hash: Hash }[] = [];
  #verdict: { readonly refusal: ProxyError | undefined } | undefined;

  constructor(sent: Sent[], trailers: ReadonlySet<string>, create: typeof createHash) {
    this.#sent = sent;
    this.#trailers = trailers;
    const announced = [...trailers].flatMap((field) => FIELDS.get(field)?.algorithms ?? []);
    for (const algorithm of new Set([...sent.map((one) => one.algorithm), ...announced])) {
      const hash = start(algorithm, create);
      if (hash) this.#hashes.push({ algorithm, hash });
    }
  }

  update(piece: Buffer): void {
    for (const { hash } of this.#hashes) hash.update(piece);
  }

  /**
   * Call it when the body has ended.
   *
   * @param rawTrailers Node's flat list: name, value, name, value ...
   * @returns the reason why the body must not become an image: `digest_mismatch` or `invalid_digest`.
   */
  refuse(rawTrailers: readonly string[]): ProxyError | undefined {
    this.#verdict ??= { refusal: this.#judge(rawTrailers) };
    return this.#verdict.refusal;
  }

  #judge(rawTrailers: readonly string[]): ProxyError | undefined {
    try {
      for (const [field, values] of valuesByField(trailerLines(rawTrailers))) {
        if (this.#trailers.has(field)) this.#sent.push(...readField(field, values));
      }
    } catch (cause) {
      if (cause instanceof ProxyError) return cause;
      throw cause;
    }
    for (const { algorithm, hash } of this.#hashes) {
      const got = hash.digest("base64");
      const wrong = this.#sent.find((sent) => sent.algorithm === algorithm && sent.base64 !== got);
      if (wrong) return mismatch(wrong, got);
    }
    return undefined;
  }
}

/**
 * @param create creates a hash. Default: Node's.
 * @returns undefined if there is nothing to check.
 * @throws ProxyError `invalid_digest` if a digest in the head is malformed.
 */
export function readDigests(
  { lines }: RequestHead,
  announced: AnnouncedBody,
  create = createHash,
): BodyDigests | undefined {
  if (!lines.some(({ name }) => FIELDS.has(name) || name === "trailer")) return undefined;
  const sent: Sent[] = [];
  for (const [field, values] of valuesByField(lines)) sent.push(...readField(field, values));
  // Only a chunked body has trailers.
  const trailers = announced.kind === "chunked" ? announcedTrailers(lines) : [];
  return sent.length + trailers.length === 0 ? undefined : new BodyDigests(sent, new Set(trailers), create);
}

function announcedTrailers(lines: readonly HeaderLine[]): string[] {
  return listElements(valuesOf(lines, "trailer"))
    .map((name) => name.toLowerCase())
    .filter((name) => FIELDS.has(name));
}

function trailerLines(raw: readonly string[]): HeaderLine[] {
  const lines: HeaderLine[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    lines.push({ name: (raw[at] ?? "").toLowerCase(), value: raw[at + 1] ?? "" });
  }
  return lines;
}

/** Only the fields of digests. */
function valuesByField(lines: readonly HeaderLine[]): Map<string, string[]> {
  const byField = new Map<string, string[]>();
  for (const { name, value } of lines) {
    if (!FIELDS.has(name)) continue;
    const values = byField.get(name);
    if (values) values.push(value);
    else byField.set(name, [value]);
  }
  return byField;
}

/** @returns the digests with a known algorithm. */
function readField(field: string, values: readonly string[]): Sent[] {
  if (field === "content-md5") return [readMd5(field, values)];
  return [...readDictionary(field, values.join(", "))].flatMap(([algorithm, [value]]): Sent[] => {
    if (!isAllowed(field, algorithm)) return []; // RFC 9530, section 2: unknown algorithms are ignored
    const bytes = value instanceof ArrayBuffer ? Buffer.from(value) : undefined;
    if (bytes?.length !== ALGORITHMS[algorithm].bytes) {
      throw invalid(
        field,
        `${algorithm} must be ${ALGORITHMS[algorithm].bytes} bytes, in base64 between colons`,
      );
    }
    return [{ field, algorithm, base64: bytes.toString("base64") }];
  });
}

function readMd5(field: string, [value = "", ...others]: readonly string[]): Sent {
  const bytes = Buffer.from(value, "base64");
  // Buffer skips what is not base64.
  if (others.length > 0 || bytes.length !== ALGORITHMS.md5.bytes || bytes.toString("base64") !== value) {
    throw invalid(field, `it must be given once, as ${ALGORITHMS.md5.bytes} bytes in base64`);
  }
  return { field, algorithm: "md5", base64: value };
}

function readDictionary(field: string, value: string): ReturnType<typeof parseDictionary> {
  try {
    return parseDictionary(value);
  } catch {
    throw invalid(field, "it must be a structured-field dictionary, such as sha-256=:BASE64:");
  }
}

function isAllowed(field: string, algorithm: string): algorithm is Algorithm {
  return FIELDS.get(field)?.algorithms.includes(algorithm as Algorithm) ?? false;
}

/** @returns undefined if this Node cannot compute it: OpenSSL in FIPS mode has no MD5. */
function start(algorithm: Algorithm, create: typeof createHash): Hash | undefined {
  try {
    return create(ALGORITHMS[algorithm].hash);
  } catch {
    return undefined;
  }
}

function invalid(field: string, why: string): ProxyError {
  return new ProxyError("invalid_digest", `Malformed digest: ${titleOf(field)}: ${why}.`);
}

function mismatch({ field, algorithm, base64 }: Sent, got: string): ProxyError {
  return new ProxyError(
    "digest_mismatch",
    `Digest mismatch: ${titleOf(field)}: ${algorithm}: expected ${base64}, got ${got}`,
  );
}

function titleOf(field: string): string {
  return FIELDS.get(field)?.title ?? field;
}
