import type { ContainerClient } from "@azure/storage-blob";
import { HoldfastError } from "#core/lib/errors.ts";
import type { BlobStore, StoredBlob } from "#core/ports/blob-store.ts";
import { azureCodeOf, callAzure, listAzure, statusOf } from "../errors.ts";

const NAMES_PER_PAGE = 5000;

/**
 * A folder of a blob container as the store of a repository. `create` relies on `If-None-Match: *`
 * of Put Blob, which is atomic: of several writers of one name exactly one wins
 * (learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations).
 */
export class AzureBlobStore implements BlobStore {
  readonly #container: ContainerClient;
  readonly #prefix: string;

  /** @param folder path inside the container, without leading or trailing `/`; empty = its top */
  constructor(container: ContainerClient, folder: string) {
    this.#container = container;
    this.#prefix = folder === "" ? "" : `${folder}/`;
  }

  /** One Put Blob (up to 5,000 MiB). The SDK repeats it after a lost answer: see `exists` in the port. */
  async create(name: string, body: Uint8Array, signal: AbortSignal): Promise<"created" | "exists"> {
    const blob = this.#container.getBlockBlobClient(this.#prefix + name);
    // A Buffer over the same bytes: the SDK sends that as it is.
    const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    return callAzure(`create the object ${name}`, async () => {
      try {
        await blob.upload(bytes, bytes.length, {
          conditions: { ifNoneMatch: "*" },
          abortSignal: signal,
        });
        return "created";
      } catch (error) {
        const isThere =
          statusOf(error) === 412 ||
          (statusOf(error) === 409 && azureCodeOf(error) === "BlobAlreadyExists");
        if (isThere) return "exists";
        throw error;
      }
    });
  }

  async read(
    name: string,
    range: { readonly offsetBytes: number; readonly lengthBytes: number } | undefined,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const blob = this.#container.getBlockBlobClient(this.#prefix + name);
    return callAzure(`read the object ${name}`, async () => {
      try {
        const answer = await blob.download(range?.offsetBytes ?? 0, range?.lengthBytes, {
          abortSignal: signal,
        });
        const lengthBytes = answer.contentLength ?? 0;
        if (range !== undefined && lengthBytes < range.lengthBytes) {
          throw tooShort(name, range.offsetBytes + range.lengthBytes);
        }
        return await collect(answer.readableStreamBody, lengthBytes, name);
      } catch (error) {
        if (statusOf(error) === 404) throw notFound(name, error);
        if (statusOf(error) === 416) throw tooShort(name, range?.offsetBytes ?? 0);
        throw error;
      }
    });
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<StoredBlob> {
    const options = { prefix: this.#prefix + prefix, abortSignal: signal };
    const pages = listAzure(`list the objects under ${prefix}`, () =>
      this.#container.listBlobsFlat(options).byPage({ maxPageSize: NAMES_PER_PAGE }),
    );
    for await (const page of pages) {
      for (const blob of page.segment.blobItems) {
        yield {
          name: blob.name.slice(this.#prefix.length),
          sizeBytes: blob.properties.contentLength ?? 0,
          modifiedAt: blob.properties.lastModified,
        };
      }
    }
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    const blob = this.#container.getBlockBlobClient(this.#prefix + name);
    await callAzure(`delete the object ${name}`, () =>
      blob.deleteIfExists({ abortSignal: signal }),
    );
  }
}

async function collect(
  stream: NodeJS.ReadableStream | undefined,
  lengthBytes: number,
  name: string,
): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(lengthBytes);
  let filledBytes = 0;
  for await (const chunk of stream ?? []) {
    const part = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    if (filledBytes + part.length > lengthBytes) break;
    bytes.set(part, filledBytes);
    filledBytes += part.length;
  }
  if (filledBytes === lengthBytes) return bytes;
  throw new HoldfastError(
    "BlobReadCut",
    `The connection ended while reading the object ${name}. Try again.`,
    { retry: "backoff", context: { name, filledBytes, lengthBytes } },
  );
}

function notFound(name: string, cause: unknown): HoldfastError {
  return new HoldfastError("BlobNotFound", `There is no object ${name} in the repository.`, {
    context: { name },
    cause,
  });
}

function tooShort(name: string, neededBytes: number): HoldfastError {
  return new HoldfastError("BlobTooShort", `The object ${name} ends before byte ${neededBytes}.`, {
    context: { name },
  });
}
