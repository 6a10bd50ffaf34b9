/**
 * The images of the stand-in Glance and the way their status moves, with the refusals worded as Glance words them
 * (glance/domain, glance/api/v2/images.py and image_data.py of 25.1.0). Knows nothing of HTTP but status codes.
 */
import { randomUUID } from "node:crypto";
import { Content, MemoryBudget } from "./content.js";

export type ImageStatus = "queued" | "saving" | "uploading" | "importing" | "active";
export type UploadOperation = "file" | "stage";

export interface Image {
  readonly id: string;
  readonly createdAt: Date;
  /** What the client gave: name, disk_format, own properties. */
  readonly properties: Readonly<Record<string, unknown>>;
  updatedAt: Date;
  status: ImageStatus;
  /** Null until the size is known. */
  sizeBytes: number | null;
  /** In the store. */
  data: Content | undefined;
  /** In the staging area. */
  staged: Content | undefined;
}

/** A refusal, as Glance answers it. */
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

/** One upload being read. Ends by exactly one of `complete` and `abort`. */
export interface Reception {
  append(piece: Buffer): void;
  /** @throws Refusal if the image is gone or was moved on meanwhile. */
  complete(): void;
  /** Puts the image back to `queued` and removes the data. */
  abort(): void;
}

export interface Images {
  create(body: unknown): Image;
  list(): Image[];
  /** @throws Refusal 404 */
  get(id: string): Image;
  delete(id: string): void;
  /** @throws Refusal 404, or 409 unless the image is `queued`. */
  receive(id: string, operation: UploadOperation): Reception;
  /** Begins a `glance-direct` import; the image becomes `active` a little later. */
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

/** @param keepBytes bytes of image data kept in memory for downloads, over all images. */
export function createImages(keepBytes: number): Images {
  const budget = new MemoryBudget(keepBytes);
  const images = new Map<string, Image>();

  const find = (id: string): Image => {
    const image = images.get(id);
    if (!image) throw new Refusal(404, `No image found with ID ${id}`);
    return image;
  };
  const move = (image: Image, status: ImageStatus): void => {
    image.status = status;
    image.updatedAt = new Date();
  };
  const store = (image: Image, content: Content): void => {
    image.data = content;
    image.sizeBytes = content.sizeBytes;
    move(image, "active");
  };

  return {
    create(body) {
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
      if (images.has(id)) throw new Refusal(409, `Image ID ${id} already exists!`);
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
      images.set(id, image);
      return image;
    },

    list: () => [...images.values()].reverse(),

    get: find,

    delete(id) {
      const image = images.get(id);
      if (!image) throw new Refusal(404, `Failed to find image ${id} to delete`);
      images.delete(id);
      image.data?.discard();
      image.staged?.discard();
    },

    receive(id, operation) {
      const image = find(id);
      const busy = BUSY_STATUS[operation];
      if (image.status !== "queued") {
        throw new Refusal(409, `Image status transition from ${image.status} to ${busy} is not allowed`);
      }
      move(image, busy);
      const content = new Content(budget);
      if (operation === "stage") image.staged = content;
      const rollBack = (): void => {
        content.discard();
        image.staged = undefined;
        image.data = undefined;
        image.sizeBytes = null;
        move(image, "queued");
      };
      return {
        append(piece) {
          content.append(piece);
        },
        complete() {
          if (images.get(id) !== image) {
            content.discard();
            throw new Refusal(
              410,
              `Image ${id} could not be found after upload. The image may have been deleted during the upload, ` +
                "cleaning up the chunks uploaded.",
            );
          }
          if (image.status !== busy) {
            // An import went off with what was staged until then. Glance fails, and takes the image back even so.
            rollBack();
            throw new Refusal(500, INTERNAL_ERROR);
          }
          if (operation === "stage") image.sizeBytes = content.sizeBytes;
          else store(image, content);
        },
        abort: rollBack,
      };
    },

    import(id) {
      const image = find(id);
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
        if (images.get(id) === image) store(image, staged);
      });
    },
  };
}

/** The image as Glance shows it. */
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
