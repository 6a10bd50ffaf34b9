/**
 * The images of the stand-in Glance and the transitions of their status. The texts of the refusals are those of Glance 25.1.0
 * (glance/domain, glance/api/v2/images.py and image_data.py). Of HTTP, this file uses only status codes.
 */
import { randomUUID } from "node:crypto";
import { Content, MemoryBudget } from "./content.js";

export type ImageStatus = "queued" | "saving" | "uploading" | "importing" | "active";
export type UploadOperation = "file" | "stage";

export interface Image {
  readonly id: string;
  readonly createdAt: Date;
  /** Set by the client: name, disk_format, other properties. */
  readonly properties: Readonly<Record<string, unknown>>;
  updatedAt: Date;
  status: ImageStatus;
  /** Null until an upload is complete. */
  sizeBytes: number | null;
  /** The image data in the store. */
  data: Content | undefined;
  /** The image data in the staging area. */
  staged: Content | undefined;
}

/** A refusal with the status and explanation of Glance's answer. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;

  constructor(status: number, explanation: string) {
    super(explanation);
    this.status = status;
  }
}

/** The explanation of every 500. */
export const INTERNAL_ERROR =
  "The server has either erred or is incapable of performing the requested operation.";

/** One upload that is being read. The reader must call `complete` or `abort` exactly once. */
export interface Reception {
  append(piece: Buffer): void;
  /** @throws Refusal if the image was deleted, or left its busy status, meanwhile. */
  complete(): void;
  /** Removes the data and sets the image back to `queued`. */
  abort(): void;
}

export interface Images {
  /** @throws Refusal 400, 403 or 409. */
  create(body: unknown): Image;
  /** Newest first. */
  list(): Image[];
  /** @throws Refusal 404 */
  get(id: string): Image;
  /** @throws Refusal 404 */
  delete(id: string): void;
  /** @throws Refusal 404, or 409 unless the image is `queued`. */
  receive(id: string, operation: UploadOperation): Reception;
  /**
   * Begins a `glance-direct` import. The image becomes `active` in a later turn of the event loop.
   * @throws Refusal 404, or 409 unless the image is staged and has both formats.
   */
  import(id: string): void;
}

const BUSY_STATUS = { file: "saving", stage: "uploading" } as const;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const SET_BY_GLANCE = [
  "status",
  "size",
  "checksum",
  "os_hash_value",
  "created_at",
  "updated_at",
  "self",
  "file",
];

/** @param keepBytes maximum bytes of image data kept in memory for downloads, of all images together. */
export function createImages(keepBytes: number): Images {
  return new ImageStore(keepBytes);
}

class ImageStore implements Images {
  readonly #budget: MemoryBudget;
  readonly #images = new Map<string, Image>();

  constructor(keepBytes: number) {
    this.#budget = new MemoryBudget(keepBytes);
  }

  create(body: unknown): Image {
    const { id, properties } = readNewImage(body);
    if (this.#images.has(id)) throw new Refusal(409, `Image ID ${id} already exists!`);
    const now = new Date();
    const image: Image = {
      id,
      createdAt: now,
      updatedAt: now,
      properties,
      status: "queued",
      sizeBytes: null,
      data: undefined,
      staged: undefined,
    };
    this.#images.set(id, image);
    return image;
  }

  list(): Image[] {
    return [...this.#images.values()].reverse();
  }

  get(id: string): Image {
    const image = this.#images.get(id);
    if (!image) throw new Refusal(404, `No image found with ID ${id}`);
    return image;
  }

  delete(id: string): void {
    const image = this.#images.get(id);
    if (!image) throw new Refusal(404, `Failed to find image ${id} to delete`);
    this.#images.delete(id);
    image.data?.discard();
    image.staged?.discard();
  }

  receive(id: string, operation: UploadOperation): Reception {
    const image = this.get(id);
    const busy = BUSY_STATUS[operation];
    if (image.status !== "queued") {
      throw new Refusal(409, `Image status transition from ${image.status} to ${busy} is not allowed`);
    }
    move(image, busy);
    const content = new Content(this.#budget);
    if (operation === "stage") image.staged = content;
    return {
      append: (piece) => content.append(piece),
      complete: () => this.#complete(image, operation, content),
      abort: () => rollBack(image, content),
    };
  }

  import(id: string): void {
    const image = this.get(id);
    if (image.status === "active") {
      throw new Refusal(409, "Image with status active cannot be target for import");
    }
    const { staged } = image;
    if (image.status !== "uploading" || !staged) {
      throw new Refusal(409, "Image needs to be staged before 'glance-direct' method can be used");
    }
    for (const name of ["container_format", "disk_format"]) {
      if (typeof image.properties[name] !== "string") {
        throw new Refusal(409, `'${name}' needs to be set before import`);
      }
    }
    move(image, "importing");
    setImmediate(() => {
      image.staged = undefined;
      if (this.#has(image)) store(image, staged);
    });
  }

  #complete(image: Image, operation: UploadOperation, content: Content): void {
    if (!this.#has(image)) {
      content.discard();
      throw new Refusal(
        410,
        `Image ${image.id} could not be found after upload. The image may have been deleted during the upload, ` +
          "cleaning up the chunks uploaded.",
      );
    }
    if (image.status !== BUSY_STATUS[operation]) {
      // An import has started with the data staged so far. Glance fails the upload, and still sets the image back.
      rollBack(image, content);
      throw new Refusal(500, INTERNAL_ERROR);
    }
    if (operation === "stage") image.sizeBytes = content.sizeBytes;
    else store(image, content);
  }

  /** False if the image was deleted, even if a new image has the same id. */
  #has(image: Image): boolean {
    return this.#images.get(image.id) === image;
  }
}

/** @throws Refusal 400 or 403 */
function readNewImage(body: unknown): { readonly id: string; readonly properties: Image["properties"] } {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new Refusal(400, "Unexpected body type. Expected list/dict.");
  }
  const { id = randomUUID(), ...properties } = body as Record<string, unknown>;
  if (typeof id !== "string" || !UUID.test(id)) {
    throw new Refusal(
      400,
      `Provided object does not match schema 'image': '${String(id)}' does not match a UUID`,
    );
  }
  for (const name of SET_BY_GLANCE) {
    if (name in properties) throw new Refusal(403, `Attribute '${name}' is read-only.`);
  }
  return { id, properties };
}

function move(image: Image, status: ImageStatus): void {
  image.status = status;
  image.updatedAt = new Date();
}

function store(image: Image, content: Content): void {
  image.data = content;
  image.sizeBytes = content.sizeBytes;
  move(image, "active");
}

function rollBack(image: Image, content: Content): void {
  content.discard();
  image.staged = undefined;
  image.data = undefined;
  image.sizeBytes = null;
  move(image, "queued");
}

/** The image as Glance's API shows it. */
export function imageView(image: Image): Record<string, unknown> {
  const { data } = image;
  const self = `/v2/images/${image.id}`;
  return {
    name: null,
    disk_format: null,
    container_format: null,
    visibility: "shared",
    protected: false,
    min_ram: 0,
    min_disk: 0,
    os_hidden: false,
    tags: [],
    ...image.properties,
    size: image.sizeBytes,
    virtual_size: data && image.properties["disk_format"] === "raw" ? data.sizeBytes : null,
    status: image.status,
    checksum: data?.md5 ?? null,
    owner: "demo",
    os_hash_algo: data ? "sha512" : null,
    os_hash_value: data?.sha512 ?? null,
    id: image.id,
    created_at: timestamp(image.createdAt),
    updated_at: timestamp(image.updatedAt),
    self,
    file: `${self}/file`,
    schema: "/v2/schemas/image",
    ...(data ? { stores: "file" } : {}),
  };
}

function timestamp(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}
