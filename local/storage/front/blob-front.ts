/**
 * The *front*: what Azure's blob service does and Azurite does not, added to Azurite's own classes in
 * its own process. Requests reach Azurite's handlers as ever, bodies stream as ever; the front stands
 * between the handlers and the database, where each blob is found, written and deleted. It does
 * nothing for accounts without versioning but let archived blobs take their time.
 *
 * Writes of one blob happen one after another where versions are kept: between the look at the
 * state before and its keeping no other write may come.
 */
import { KeyedLock } from "#local/functions-host/keyed-lock.ts";
import type {
  BlobDocument,
  BlobHandler,
  BlobName,
  MetadataStore,
  RequestContext,
} from "./azurite-types.ts";
import { isImmutableContainer, isVersioned, type FrontRules } from "./blob-record.ts";
import {
  blobs,
  copyOf,
  findCurrent,
  findVersion,
  hasVersions,
  keepVersion,
  newVersionId,
  removeVersions,
  versionIdOf,
} from "./blob-versions.ts";
import { immutabilityHandlers, readProtection, refuseIfProtected } from "./immutability.ts";
import { installReads } from "./blob-reads.ts";
import {
  allowArchivedSources,
  beginCopyRehydration,
  beginRehydration,
  finishRehydration,
  isArchived,
  onlineTierOf,
  refuseOtherTier,
} from "./rehydration.ts";
import { refusal } from "./storage-errors.ts";

const onlineCopyMethods = ["startCopyFromURL", "copyFromURL"] as const;
const contentMethods = ["uploadPages", "clearRange"] as const;

/** Wraps the methods of Azurite's classes. To be called once, before Azurite starts. */
export function installFront(
  rules: FrontRules,
  classes: { readonly store: MetadataStore; readonly blobHandler: BlobHandler },
): void {
  const front = new BlobFront(rules);
  installReads(rules, classes.store);
  installWrites(front, classes.store);
  installContentChanges(front, classes.store);
  installCopies(front, classes.store);
  installTiers(front, classes.store);
  installDeletes(front, classes.store);
  allowArchivedSources(classes.blobHandler);
  Object.assign(classes.blobHandler, immutabilityHandlers(rules));
}

class BlobFront {
  readonly rules: FrontRules;
  readonly #writes = new KeyedLock();

  constructor(rules: FrontRules) {
    this.rules = rules;
  }

  /** Throws 409 for a change in place of a protected blob. */
  refuseChange(store: MetadataStore, context: RequestContext, name: BlobName): void {
    if (!isVersioned(this.rules, name.account)) return;
    refuseIfProtected(this.rules, context, findCurrent(store, name));
  }

  deleteVersion(store: MetadataStore, context: RequestContext, name: BlobName): void {
    const versionId = versionIdOf(context) ?? "";
    if (findCurrent(store, name)?.record?.versionId === versionId) {
      throw refusal(context, "OperationNotAllowedOnRootBlob");
    }
    const version = findVersion(store, name, versionId);
    if (version === undefined) throw refusal(context, "BlobNotFound");
    refuseIfProtected(this.rules, context, version);
    blobs(store).remove(version);
  }

  /** Runs what replaces or deletes the current version, and keeps that as a previous one. */
  async replace<Result>(
    store: MetadataStore,
    context: RequestContext,
    name: BlobName,
    work: (before: BlobDocument | undefined) => Promise<Result>,
  ): Promise<Result> {
    if (versionIdOf(context) !== undefined) throw refusal(context, "OperationNotAllowedOnVersion");
    const container = { account: name.account, name: name.container };
    const protection = readProtection(this.rules, context, container);
    // Without versions nothing is protected: there is no state before to care for.
    if (!isVersioned(this.rules, name.account)) return work(undefined);
    return this.#writes.run(`${name.account}/${name.container}/${name.blob}`, async () => {
      const current = findCurrent(store, name);
      const before = current === undefined ? undefined : copyOf(current);
      const result = await work(before);
      if (before !== undefined) keepVersion(store, before);
      const now = findCurrent(store, name);
      if (now === undefined) return result;
      const versionId = newVersionId(this.rules.now());
      const { rehydration } = now.record ?? {};
      now.record = {
        ...protection,
        ...(rehydration === undefined ? {} : { rehydration }),
        versionId,
      };
      blobs(store).update(now);
      context.response?.setHeader("x-ms-version-id", versionId);
      return result;
    });
  }
}

function installWrites(front: BlobFront, prototype: MetadataStore): void {
  const { createBlob, commitBlockList, setBlobMetadata } = prototype;
  prototype.createBlob = function write(this: MetadataStore, context, blob, ...rest) {
    return front.replace(this, context, nameOf(blob), () =>
      createBlob.call(this, context, blob, ...rest),
    );
  };
  prototype.commitBlockList = function write(this: MetadataStore, context, blob, ...rest) {
    return front.replace(this, context, nameOf(blob), (before) => {
      if (isArchived(before)) throw refusal(context, "BlobArchived");
      return commitBlockList.call(this, context, blob, ...rest);
    });
  };
  prototype.setBlobMetadata = function write(
    this: MetadataStore,
    context,
    account,
    container,
    blob,
    ...rest
  ) {
    const name = { account, container, blob };
    return front.replace(this, context, name, (before) => {
      refuseIfProtected(front.rules, context, before);
      return setBlobMetadata.call(this, context, account, container, blob, ...rest);
    });
  };
}

/** Writes into page and append blobs make no versions, and protected ones take none. */
function installContentChanges(front: BlobFront, prototype: MetadataStore): void {
  for (const method of contentMethods) {
    const original = prototype[method];
    prototype[method] = async function write(this: MetadataStore, context, blob, ...rest) {
      front.refuseChange(this, context, nameOf(blob));
      return original.call(this, context, blob, ...rest);
    };
  }
  const { appendBlock, resizePageBlob } = prototype;
  prototype.appendBlock = async function write(this: MetadataStore, context, block, ...rest) {
    const { accountName: account, containerName: container, blobName: blob } = block;
    front.refuseChange(this, context, { account, container, blob });
    return appendBlock.call(this, context, block, ...rest);
  };
  prototype.resizePageBlob = async function write(
    this: MetadataStore,
    context,
    account,
    container,
    blob,
    ...rest
  ) {
    front.refuseChange(this, context, { account, container, blob });
    return resizePageBlob.call(this, context, account, container, blob, ...rest);
  };
}

function installCopies(front: BlobFront, prototype: MetadataStore): void {
  for (const method of onlineCopyMethods) {
    const original = prototype[method];
    prototype[method] = function copy(this: MetadataStore, context, source, destination, ...rest) {
      return front.replace(this, context, destination, async () => {
        const from = findCurrent(this, source);
        if (from !== undefined) finishRehydration(front.rules, this, from);
        const wasArchived = isArchived(from);
        const tier = onlineTierOf(rest[2]);
        if (wasArchived && rest[2] !== undefined && tier === undefined) {
          throw refusal(context, "CopyOfArchivedBlobToArchive");
        }
        const properties = await original.call(this, context, source, destination, ...rest);
        const made = findCurrent(this, destination);
        if (wasArchived && tier !== undefined && made !== undefined) {
          const copied = { source, destination: made, tier };
          beginCopyRehydration(front.rules, this, context, copied);
        }
        return properties;
      });
    };
  }
}

function installTiers(front: BlobFront, prototype: MetadataStore): void {
  const { setTier } = prototype;
  const { rules } = front;
  prototype.setTier = async function change(
    this: MetadataStore,
    context,
    account,
    container,
    blob,
    tier,
    lease,
  ) {
    const find = () =>
      this.getBlobWithLeaseUpdated(account, container, blob, undefined, context, true, true);
    const before = await find();
    const wasArchived = isArchived(before);
    refuseOtherTier(context, before, tier);
    const status = await setTier.call(this, context, account, container, blob, tier, lease);
    const online = onlineTierOf(tier);
    const document = await find();
    if (!wasArchived || online === undefined || document === undefined) return status;
    beginRehydration(rules, this, context, { document, tier: online });
    return 202;
  };
}

function installDeletes(front: BlobFront, prototype: MetadataStore): void {
  const { deleteBlob, deleteContainer } = prototype;
  const { rules } = front;
  prototype.deleteBlob = async function remove(
    this: MetadataStore,
    context,
    account,
    container,
    blob,
    options,
  ) {
    const name = { account, container, blob };
    const original = () => deleteBlob.call(this, context, account, container, blob, options);
    if (versionIdOf(context) !== undefined) {
      await this.checkContainerExist(context, account, container);
      front.deleteVersion(this, context, name);
      return;
    }
    const isOfSnapshots = (options.snapshot ?? "") !== "" || options.deleteSnapshots === "only";
    if (isOfSnapshots) return original();
    await front.replace(this, context, name, (before) => {
      refuseIfProtected(rules, context, before);
      return original();
    });
  };
  prototype.deleteContainer = async function remove(
    this: MetadataStore,
    context,
    account,
    container,
    ...rest
  ) {
    const kept = { accountName: account, containerName: container };
    const isEmpty = blobs(this).count(kept) === 0 && !hasVersions(this, account, container);
    if (isImmutableContainer(rules, account, container) && !isEmpty) {
      throw refusal(context, "ContainerImmutableStorageWithVersioningNotEmpty");
    }
    await deleteContainer.call(this, context, account, container, ...rest);
    removeVersions(this, account, container);
  };
}

function nameOf(blob: BlobDocument): BlobName {
  return { account: blob.accountName, container: blob.containerName, blob: blob.name };
}
