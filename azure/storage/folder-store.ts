import { randomUUID } from "node:crypto";
import { link, mkdir, open, readdir, rm, stat, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { HoldfastError } from "#core/lib/errors.ts";
import type {
  BlobStore,
  ByteRange,
  CreateOptions,
  StoreCapabilities,
  StoreLock,
  StoredBlob,
  WholeObject,
} from "#core/ports/blob-store.ts";
import { systemCodeOf, unlessMissing } from "./file-errors.ts";
import { LOCK_SUFFIX, lockFile } from "./folder-lock.ts";

const TEMPORARY_SUFFIX = ".being-written";

/**
 * A repository in a local folder: copies for break-glass recovery, tests, benchmarks. A folder has
 * neither immutability nor tiers: what was archived in a container can be read as it is.
 */
export class FolderStore implements BlobStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async readCapabilities(signal: AbortSignal): Promise<StoreCapabilities> {
    signal.throwIfAborted();
    return { immutability: false, archiveTier: false };
  }

  /** The object appears by a hard link of the finished file: whole, and only if it is new. */
  async create(
    name: string,
    body: Uint8Array,
    signal: AbortSignal,
    options: CreateOptions = {},
  ): Promise<"created" | "exists"> {
    return this.#createFrom(name, body, signal, options);
  }

  async createFromParts(
    name: string,
    parts: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
    options: CreateOptions = {},
  ): Promise<"created" | "exists"> {
    if ((await this.readProperties(name, signal)) !== undefined) return "exists";
    return this.#createFrom(name, parts, signal, options);
  }

  async #createFrom(
    name: string,
    content: Uint8Array | AsyncIterable<Uint8Array>,
    signal: AbortSignal,
    options: CreateOptions,
  ): Promise<"created" | "exists"> {
    if (options.immutableUntil !== undefined) throw noImmutability(name);
    const path = this.#pathOf(name);
    const temporary = `${path}.${randomUUID()}${TEMPORARY_SUFFIX}`;
    await mkdir(dirname(path), { recursive: true });
    try {
      await writeFile(temporary, content, { signal, flag: "wx" });
      await link(temporary, path);
      return "created";
    } catch (error) {
      if (systemCodeOf(error) === "EEXIST") return "exists";
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async read(
    name: string,
    part: ByteRange | WholeObject,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    signal.throwIfAborted();
    const file = await this.#open(name);
    try {
      const found = await file.stat();
      if (!found.isFile()) throw notFound(name);
      if ("maxBytes" in part && found.size > part.maxBytes) throw tooLarge(name, part.maxBytes);
      const range = "maxBytes" in part ? { offsetBytes: 0, lengthBytes: found.size } : part;
      const bytes = Buffer.allocUnsafeSlow(range.lengthBytes);
      let filledBytes = 0;
      while (filledBytes < bytes.length) {
        const position = range.offsetBytes + filledBytes;
        const { bytesRead } = await file.read(bytes, filledBytes, undefined, position);
        if (bytesRead === 0) throw tooShort(name, range.offsetBytes + range.lengthBytes);
        filledBytes += bytesRead;
      }
      return bytes;
    } finally {
      await file.close();
    }
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<StoredBlob> {
    signal.throwIfAborted();
    const names = await this.#namesUnder(prefix.slice(0, prefix.lastIndexOf("/") + 1));
    for (const name of names.filter((each) => each.startsWith(prefix)).sort()) {
      const found = await unlessMissing(stat(this.#pathOf(name)));
      if (found !== undefined) yield { name, sizeBytes: found.size, modifiedAt: found.mtime };
    }
  }

  async readProperties(name: string, signal: AbortSignal): Promise<StoredBlob | undefined> {
    signal.throwIfAborted();
    const found = await unlessMissing(stat(this.#pathOf(name)));
    if (found?.isFile() !== true) return undefined;
    return { name, sizeBytes: found.size, modifiedAt: found.mtime };
  }

  async delete(name: string, signal: AbortSignal): Promise<"deleted" | "absent"> {
    if ((await this.readProperties(name, signal)) === undefined) return "absent";
    const isGone = await unlessMissing(unlink(this.#pathOf(name)).then(() => true));
    return isGone === true ? "deleted" : "absent";
  }

  async extendImmutability(name: string, _until: Date, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    throw noImmutability(name);
  }

  /** Nothing is archived here: the copy is there at once. */
  async startRetrieval(
    from: string,
    to: string,
    _options: unknown,
    signal: AbortSignal,
  ): Promise<"started" | "exists"> {
    signal.throwIfAborted();
    const target = this.#pathOf(to);
    await mkdir(dirname(target), { recursive: true });
    try {
      await link(this.#pathOf(from), target);
      return "started";
    } catch (error) {
      if (systemCodeOf(error) === "EEXIST") return "exists";
      if (systemCodeOf(error) === "ENOENT") throw notFound(from);
      throw error;
    }
  }

  /** Files beside the objects, which `list` does not show. */
  async lock(name: string, signal: AbortSignal): Promise<StoreLock | undefined> {
    signal.throwIfAborted();
    return lockFile(this.#pathOf(name), name);
  }

  #pathOf(name: string): string {
    const segments = name.split("/");
    const isSafe = segments.every((part) => part !== "" && part !== "." && part !== "..");
    if (isSafe && !name.includes("\\") && !name.includes("\0")) {
      return join(this.#folder, ...segments);
    }
    throw new HoldfastError("InvalidBlobName", `${JSON.stringify(name)} cannot name an object.`);
  }

  async #open(name: string) {
    const file = await unlessMissing(open(this.#pathOf(name), "r"));
    if (file !== undefined) return file;
    throw notFound(name);
  }

  async #namesUnder(folder: string): Promise<string[]> {
    const path = folder === "" ? this.#folder : this.#pathOf(folder.slice(0, -1));
    const entries = await unlessMissing(readdir(path, { withFileTypes: true }));
    const names: string[] = [];
    for (const entry of entries ?? []) {
      if (entry.isDirectory()) names.push(...(await this.#namesUnder(`${folder}${entry.name}/`)));
      else if (entry.isFile() && !isInternal(entry.name)) names.push(folder + entry.name);
    }
    return names;
  }
}

function isInternal(fileName: string): boolean {
  return fileName.endsWith(TEMPORARY_SUFFIX) || fileName.endsWith(LOCK_SUFFIX);
}

function noImmutability(name: string): HoldfastError {
  return new HoldfastError(
    "ImmutabilityNotSupported",
    `The object ${name} cannot be protected: a folder has no immutability. ` +
      "Use a blob container with version-level immutability.",
  );
}

function notFound(name: string): HoldfastError {
  return new HoldfastError("BlobNotFound", `There is no object ${name} in the folder.`, {
    context: { name },
  });
}

function tooShort(name: string, neededBytes: number): HoldfastError {
  return new HoldfastError("BlobTooShort", `The object ${name} ends before byte ${neededBytes}.`, {
    context: { name },
  });
}

function tooLarge(name: string, maxBytes: number): HoldfastError {
  const message = `The object ${name} is larger than ${maxBytes} bytes.`;
  return new HoldfastError("BlobTooLarge", message, { context: { name } });
}
