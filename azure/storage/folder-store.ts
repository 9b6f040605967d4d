import { randomUUID } from "node:crypto";
import { link, mkdir, open, readdir, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { HoldfastError } from "#core/lib/errors.ts";
import type { BlobStore, StoredBlob } from "#core/ports/blob-store.ts";

const TEMPORARY_SUFFIX = ".being-written";

/** A repository in a local folder: copies for break-glass recovery, tests, benchmarks. */
export class FolderStore implements BlobStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The object appears by a hard link of the finished file: whole, and only if it is new. */
  async create(name: string, body: Uint8Array, signal: AbortSignal): Promise<"created" | "exists"> {
    const path = this.#pathOf(name);
    const temporary = `${path}.${randomUUID()}${TEMPORARY_SUFFIX}`;
    await mkdir(dirname(path), { recursive: true });
    try {
      await writeFile(temporary, body, { signal, flag: "wx" });
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
    range: { readonly offsetBytes: number; readonly lengthBytes: number } | undefined,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    signal.throwIfAborted();
    const file = await this.#open(name);
    try {
      if (range === undefined) return await file.readFile();
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

  async delete(name: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await rm(this.#pathOf(name), { force: true });
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
    throw new HoldfastError("BlobNotFound", `There is no object ${name} in the folder.`, {
      context: { name },
    });
  }

  async #namesUnder(folder: string): Promise<string[]> {
    const path = folder === "" ? this.#folder : this.#pathOf(folder.slice(0, -1));
    const entries = await unlessMissing(readdir(path, { withFileTypes: true }));
    const names: string[] = [];
    for (const entry of entries ?? []) {
      if (entry.isDirectory()) names.push(...(await this.#namesUnder(`${folder}${entry.name}/`)));
      else if (entry.isFile() && !entry.name.endsWith(TEMPORARY_SUFFIX)) {
        names.push(folder + entry.name);
      }
    }
    return names;
  }
}

function tooShort(name: string, neededBytes: number): HoldfastError {
  return new HoldfastError("BlobTooShort", `The object ${name} ends before byte ${neededBytes}.`, {
    context: { name },
  });
}

function systemCodeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

async function unlessMissing<Value>(pending: Promise<Value>): Promise<Value | undefined> {
  try {
    return await pending;
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
