import { Readable } from "node:stream";
import type { BlobClient, BlobGetPropertiesResponse, ContainerClient } from "@azure/storage-blob";
import { HoldfastError } from "#core/lib/errors.ts";
import type {
  BlobStore,
  ByteRange,
  CreateOptions,
  OnlineTier,
  StoreCapabilities,
  StoreLock,
  StoredBlob,
  WholeObject,
} from "#core/ports/blob-store.ts";
import { asListed, tierName } from "./blob-properties.ts";
import { keepLease } from "./blob-lease.ts";
import { uploadBody } from "./upload-body.ts";
import { uploadParts } from "./upload-parts.ts";
import { azureCodeOf, callAzure, listAzure, readAzure, statusOf } from "../errors.ts";

const NAMES_PER_PAGE = 5000;
/** learn.microsoft.com/azure/storage/blobs/immutable-version-level-worm-policies */
const IMMUTABLE_CODES: ReadonlySet<string> = new Set([
  "BlobImmutableDueToPolicy",
  "BlobImmutableDueToLegalHold",
]);
/** Copy Blob onto a blob that is there, or that an earlier copy is about to make. */
const EXISTING_TARGET_CODES: ReadonlySet<string> = new Set([
  "BlobAlreadyExists",
  "BlobArchived",
  "PendingCopyOperation",
]);

type ImmutabilityMode = "Locked" | "Unlocked";

export interface AzureBlobStoreOptions {
  /**
   * `Locked` policies hold against everybody until they end; `Unlocked` ones can be taken back by an
   * identity with the rights that set them: for trials (docs/decisions/0005-locked-immutability.md).
   */
  readonly immutabilityMode?: ImmutabilityMode;
}

/**
 * A folder of a blob container as the store of a repository. `create` relies on `If-None-Match: *`
 * of Put Blob, which is atomic: of several writers of one name exactly one wins
 * (learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations).
 */
export class AzureBlobStore implements BlobStore {
  readonly #container: ContainerClient;
  readonly #prefix: string;
  readonly #immutabilityMode: ImmutabilityMode;
  /** It stays on once it is; a container that has it not is asked again. */
  #hasImmutability = false;
  /** A write of this store said that no versions are kept. */
  #isUnversioned = false;

  /** @param folder path inside the container, without leading or trailing `/`; empty = its top */
  constructor(container: ContainerClient, folder: string, options: AzureBlobStoreOptions = {}) {
    this.#container = container;
    this.#prefix = folder === "" ? "" : `${folder}/`;
    this.#immutabilityMode = options.immutabilityMode ?? "Locked";
  }

  /** Whether the container, or its account, was made with version-level immutability. */
  async readCapabilities(signal: AbortSignal): Promise<StoreCapabilities> {
    const properties = await callAzure("read the properties of the repository's container", () =>
      this.#container.getProperties({ abortSignal: signal }),
    );
    const immutability = properties.isImmutableStorageWithVersioningEnabled === true;
    this.#hasImmutability = immutability;
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
    if (immutableUntil !== undefined) await this.#requireImmutability(name, signal);
    const blob = this.#container.getBlockBlobClient(this.#prefix + name);
    return callAzure(`create the object ${name}`, async () => {
      try {
        const { versionId } = await blob.upload(uploadBody(body), body.length, {
          conditions: { ifNoneMatch: "*" },
          abortSignal: signal,
          ...(tier === undefined ? {} : { tier: tierName(tier) }),
          ...(immutableUntil === undefined
            ? {}
            : { immutabilityPolicy: this.#policyUntil(immutableUntil) }),
        });
        this.#isUnversioned = versionId === undefined;
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
    const { tier, immutableUntil } = options;
    if (immutableUntil !== undefined) await this.#requireImmutability(name, signal);
    if ((await this.readProperties(name, signal)) !== undefined) return "exists";
    const blob = this.#container.getBlockBlobClient(this.#prefix + name);
    const uploaded = await callAzure(`create the object ${name}`, () =>
      uploadParts(blob, parts, signal, {
        ...(tier === undefined ? {} : { tier: tierName(tier) }),
        ...(immutableUntil === undefined
          ? {}
          : { immutabilityPolicy: this.#policyUntil(immutableUntil) }),
      }),
    );
    if (uploaded === "exists") return "exists";
    this.#isUnversioned = uploaded.versionId === undefined;
    return "created";
  }

  async read(
    name: string,
    part: ByteRange | WholeObject,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const blob = this.#container.getBlockBlobClient(this.#prefix + name);
    return callAzure(`read the object ${name}`, async () => {
      try {
        const { offsetBytes, lengthBytes: askedBytes } =
          "maxBytes" in part ? { offsetBytes: 0, lengthBytes: undefined } : part;
        const answer = await blob.download(offsetBytes, askedBytes, { abortSignal: signal });
        const lengthBytes = answer.contentLength ?? 0;
        if (askedBytes !== undefined && lengthBytes < askedBytes) {
          throw tooShort(name, offsetBytes + askedBytes);
        }
        if ("maxBytes" in part && lengthBytes > part.maxBytes) {
          // The rest of the answer stays on the wire.
          if (answer.readableStreamBody instanceof Readable) answer.readableStreamBody.destroy();
          throw tooLarge(name, part.maxBytes);
        }
        return await collect(answer.readableStreamBody, { lengthBytes, name, signal });
      } catch (error) {
        if (statusOf(error) === 404) throw notFound(name, error);
        if (azureCodeOf(error) === "BlobArchived") throw archived(name, error);
        if (statusOf(error) === 416)
          throw tooShort(name, "maxBytes" in part ? 0 : part.offsetBytes);
        throw error;
      }
    });
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<StoredBlob> {
    const options = {
      prefix: this.#prefix + prefix,
      abortSignal: signal,
      includeCopy: true,
      includeImmutabilityPolicy: true,
    };
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
    const found = await this.#readBlob(name, signal);
    return found === undefined ? undefined : asListed(name, found);
  }

  /**
   * Where versions are kept, deleting the current version makes it a previous one, and each of those
   * is deleted by its id; a run that was interrupted is finished by the next. Blobs that soft delete
   * keeps are the account's affair: they cost money until it drops them.
   */
  async delete(name: string, signal: AbortSignal): Promise<"deleted" | "absent" | "immutable"> {
    return callAzure(`delete the object ${name}`, async () => {
      const current = await deleteBlob(this.#container.getBlobClient(this.#prefix + name), signal);
      if (current === "immutable" || this.#isUnversioned) return current;
      return this.#deleteVersions(name, current, signal);
    });
  }

  async #deleteVersions(
    name: string,
    current: "deleted" | "absent",
    signal: AbortSignal,
  ): Promise<"deleted" | "absent" | "immutable"> {
    const fullName = this.#prefix + name;
    const outcomes = new Set<string>([current]);
    const options = { prefix: fullName, includeVersions: true, abortSignal: signal };
    for await (const found of this.#container.listBlobsFlat(options)) {
      // Ascending by name: the exact name comes first.
      if (found.name !== fullName) break;
      if (found.versionId === undefined || found.isCurrentVersion === true) continue;
      const version = this.#container.getBlobClient(fullName).withVersion(found.versionId);
      outcomes.add(await deleteBlob(version, signal));
    }
    if (outcomes.has("immutable")) return "immutable";
    return outcomes.has("deleted") ? "deleted" : "absent";
  }

  /** Azure refuses to shorten a locked policy, so of two who extend at once the later end wins. */
  async extendImmutability(name: string, until: Date, signal: AbortSignal): Promise<void> {
    await this.#requireImmutability(name, signal);
    const before = await this.#readBlob(name, signal);
    if (before === undefined) throw notFound(name, undefined);
    if (isImmutableUntil(before, until)) return;
    await callAzure(`extend the immutability of the object ${name}`, async () => {
      const policy = this.#policyUntil(until);
      // A locked policy stays locked.
      if (before.immutabilityPolicyMode === "Locked") policy.policyMode = "Locked";
      try {
        const blob = this.#container.getBlobClient(this.#prefix + name);
        await blob.setImmutabilityPolicy(policy, { abortSignal: signal });
      } catch (error) {
        if (statusOf(error) === 404) throw notFound(name, error);
        const after = await this.#readBlob(name, signal);
        if (after === undefined || !isImmutableUntil(after, until)) throw error;
      }
    });
  }

  async startRetrieval(
    from: string,
    to: string,
    options: { readonly tier: OnlineTier; readonly priority: "standard" | "high" },
    signal: AbortSignal,
  ): Promise<"started" | "exists"> {
    const outcome = await this.#startCopy(from, to, options, signal);
    if (outcome === "started") return outcome;
    const target = await this.#readBlob(to, signal);
    const hasFailed = target?.copyStatus === "failed" || target?.copyStatus === "aborted";
    if (!hasFailed) return outcome;
    await this.delete(to, signal);
    return this.#startCopy(from, to, options, signal);
  }

  async #startCopy(
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
        const isThere = EXISTING_TARGET_CODES.has(azureCodeOf(error) ?? "");
        if (isThere || statusOf(error) === 412) return "exists";
        throw error;
      }
    });
  }

  /** A lease on an empty blob of this name. */
  async lock(name: string, signal: AbortSignal): Promise<StoreLock | undefined> {
    await this.create(name, new Uint8Array(), signal);
    const blob = this.#container.getBlobClient(this.#prefix + name);
    return keepLease(blob.getBlobLeaseClient(), name, signal);
  }

  async #readBlob(
    name: string,
    signal: AbortSignal,
  ): Promise<BlobGetPropertiesResponse | undefined> {
    const blob = this.#container.getBlobClient(this.#prefix + name);
    return readAzure(`read the properties of the object ${name}`, () =>
      blob.getProperties({ abortSignal: signal }),
    );
  }

  async #requireImmutability(name: string, signal: AbortSignal): Promise<void> {
    if (this.#hasImmutability || (await this.readCapabilities(signal)).immutability) return;
    throw new HoldfastError(
      "ImmutabilityNotSupported",
      `The object ${name} cannot be protected: the container has no version-level immutability. ` +
        "It is switched on when a container or its account is made.",
      { context: { name } },
    );
  }

  /** Policies end at whole seconds: the next one, not the one before. */
  #policyUntil(until: Date): { expiriesOn: Date; policyMode: ImmutabilityMode } {
    const expiriesOn = new Date(Math.ceil(until.getTime() / 1000) * 1000);
    return { expiriesOn, policyMode: this.#immutabilityMode };
  }
}

function isImmutableUntil(
  { immutabilityPolicyExpiresOn: end }: BlobGetPropertiesResponse,
  until: Date,
): boolean {
  return end !== undefined && end >= until;
}

async function deleteBlob(
  blob: BlobClient,
  signal: AbortSignal,
): Promise<"deleted" | "absent" | "immutable"> {
  try {
    await blob.delete({ abortSignal: signal });
    return "deleted";
  } catch (error) {
    if (IMMUTABLE_CODES.has(azureCodeOf(error) ?? "")) return "immutable";
    if (azureCodeOf(error) === "BlobNotFound") return "absent";
    throw error;
  }
}

async function collect(
  stream: NodeJS.ReadableStream | undefined,
  wanted: { readonly lengthBytes: number; readonly name: string; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  const { lengthBytes, name, signal } = wanted;
  const bytes = Buffer.allocUnsafeSlow(lengthBytes);
  let filledBytes = 0;
  let cause: unknown;
  try {
    for await (const chunk of stream ?? []) {
      const part = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
      if (filledBytes + part.length > lengthBytes) break;
      bytes.set(part, filledBytes);
      filledBytes += part.length;
    }
  } catch (error) {
    // An answer of the service says more than that the stream ended.
    if (signal.aborted || statusOf(error) !== undefined) throw error;
    cause = error;
  }
  if (filledBytes === lengthBytes) return bytes;
  throw new HoldfastError(
    "BlobReadCut",
    `The connection ended while reading the object ${name}. Try again.`,
    { retry: "backoff", context: { name, filledBytes, lengthBytes }, cause },
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

function tooLarge(name: string, maxBytes: number): HoldfastError {
  const message = `The object ${name} is larger than ${maxBytes} bytes.`;
  return new HoldfastError("BlobTooLarge", message, { context: { name } });
}
