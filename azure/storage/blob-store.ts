import type { ContainerClient } from "@azure/storage-blob";
import { HoldfastError } from "#core/lib/errors.ts";
import type {
  BlobStore,
  CreateOptions,
  OnlineTier,
  StoreCapabilities,
  StoreLock,
  StoredBlob,
} from "#core/ports/blob-store.ts";
import { asListed, tierName } from "./blob-properties.ts";
import { keepLease } from "./blob-lease.ts";
import { uploadParts } from "./upload-parts.ts";
import { azureCodeOf, callAzure, listAzure, readAzure, statusOf } from "../errors.ts";

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

  /** `isVersionLevelWormEnabled` of the container: immutability of versions cannot be had later. */
  async readCapabilities(signal: AbortSignal): Promise<StoreCapabilities> {
    const properties = await callAzure("read the properties of the repository's container", () =>
      this.#container.getProperties({ abortSignal: signal }),
    );
    const immutability = properties.isImmutableStorageWithVersioningEnabled === true;
    return { immutability, archiveTier: true };
  }

  /** One Put Blob (up to 5,000 MiB). The SDK repeats it after a lost answer: see `exists` in the port. */
  async create(
    name: string,
    body: Uint8Array,
    signal: AbortSignal,
    options: CreateOptions = {},
  ): Promise<"created" | "exists"> {
    const { tier, immutableUntil } = options;
    const blob = this.#container.getBlockBlobClient(this.#prefix + name);
    // A Buffer over the same bytes: the SDK sends that as it is.
    const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    return callAzure(`create the object ${name}`, async () => {
      try {
        await blob.upload(bytes, bytes.length, {
          conditions: { ifNoneMatch: "*" },
          abortSignal: signal,
          ...(tier === undefined ? {} : { tier: tierName(tier) }),
          ...(immutableUntil === undefined
            ? {}
            : { immutabilityPolicy: { expiriesOn: immutableUntil, policyMode: "Unlocked" } }),
        });
        return "created";
      } catch (error) {
        // Put Blob over an archived one: refused for its tier before the condition is looked at.
        const code = azureCodeOf(error);
        const isThere = code === "BlobAlreadyExists" || code === "BlobArchived";
        if (isThere || statusOf(error) === 412) return "exists";
        throw error;
      }
    });
  }

  async createFromParts(
    name: string,
    parts: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
    options: CreateOptions = {},
  ): Promise<"created" | "exists"> {
    if ((await this.readProperties(name, signal)) !== undefined) return "exists";
    const blob = this.#container.getBlockBlobClient(this.#prefix + name);
    return callAzure(`create the object ${name}`, () => uploadParts(blob, parts, signal, options));
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
        if (azureCodeOf(error) === "BlobArchived") throw archived(name, error);
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
        yield asListed(blob.name.slice(this.#prefix.length), blob.properties);
      }
    }
  }

  async readProperties(name: string, signal: AbortSignal): Promise<StoredBlob | undefined> {
    const blob = this.#container.getBlockBlobClient(this.#prefix + name);
    const found = await readAzure(`read the properties of the object ${name}`, () =>
      blob.getProperties({ abortSignal: signal }),
    );
    return found === undefined ? undefined : asListed(name, found);
  }

  async delete(name: string, signal: AbortSignal): Promise<"deleted" | "absent" | "immutable"> {
    const blob = this.#container.getBlockBlobClient(this.#prefix + name);
    return callAzure(`delete the object ${name}`, async () => {
      try {
        const { succeeded } = await blob.deleteIfExists({ abortSignal: signal });
        return succeeded ? "deleted" : "absent";
      } catch (error) {
        if (azureCodeOf(error) === "BlobImmutableDueToPolicy") return "immutable";
        throw error;
      }
    });
  }

  async extendImmutability(name: string, until: Date, signal: AbortSignal): Promise<void> {
    const blob = this.#container.getBlockBlobClient(this.#prefix + name);
    await callAzure(`extend the immutability of the object ${name}`, () =>
      blob.setImmutabilityPolicy(
        { expiriesOn: until, policyMode: "Unlocked" },
        { abortSignal: signal },
      ),
    );
  }

  async startRetrieval(
    from: string,
    to: string,
    options: { readonly tier: OnlineTier; readonly priority: "standard" | "high" },
    signal: AbortSignal,
  ): Promise<"started" | "exists"> {
    const source = this.#container.getBlockBlobClient(this.#prefix + from);
    const target = this.#container.getBlockBlobClient(this.#prefix + to);
    return callAzure(`retrieve the object ${from}`, async () => {
      try {
        await target.beginCopyFromURL(source.url, {
          tier: tierName(options.tier),
          rehydratePriority: options.priority === "high" ? "High" : "Standard",
          conditions: { ifNoneMatch: "*" },
          abortSignal: signal,
        });
        return "started";
      } catch (error) {
        if (statusOf(error) === 404) throw notFound(from, error);
        if (statusOf(error) === 412 || azureCodeOf(error) === "BlobAlreadyExists") return "exists";
        throw error;
      }
    });
  }

  /** A lease on an empty blob of this name. */
  async lock(name: string, signal: AbortSignal): Promise<StoreLock | undefined> {
    await this.create(name, new Uint8Array(), signal);
    return keepLease(this.#container.getBlockBlobClient(this.#prefix + name), signal);
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

function archived(name: string, cause: unknown): HoldfastError {
  return new HoldfastError(
    "BlobArchived",
    `The object ${name} is in the archive tier. Retrieve it first.`,
    { context: { name }, cause },
  );
}

function tooShort(name: string, neededBytes: number): HoldfastError {
  return new HoldfastError("BlobTooShort", `The object ${name} ends before byte ${neededBytes}.`, {
    context: { name },
  });
}
