/**
 * Leaving the archive takes time: until then a blob keeps its tier, says what it is waiting for, and
 * cannot be read. It happens by a copy to an online tier or by a change of tier.
 * Source: learn.microsoft.com/azure/storage/blobs/archive-rehydrate-overview.
 */
import type {
  BlobDocument,
  BlobHandler,
  BlobName,
  MetadataStore,
  RequestContext,
} from "./azurite-types.ts";
import type { FrontRules, OnlineTier, RehydratePriority } from "./blob-record.ts";
import { blobs, findCurrent } from "./blob-versions.ts";
import { refusal } from "./storage-errors.ts";

const onlineTiers: readonly OnlineTier[] = ["Hot", "Cool", "Cold"];

export function isArchived(document: BlobDocument | undefined): boolean {
  return document?.properties.accessTier === "Archive";
}

/**
 * The answer to a look at the source of a copy says that it is archived: it is there and the SAS is
 * good, or the answer were another. What may be done with it is decided where it is copied.
 */
export function allowArchivedSources(blobHandler: BlobHandler): void {
  const { validateCopySource } = blobHandler;
  blobHandler.validateCopySource = async function validate(this: BlobHandler, ...call) {
    try {
      await validateCopySource.apply(this, call);
    } catch (error) {
      const message = error instanceof Error ? error.message : "";
      if (!message.startsWith("This operation is not permitted on an archived blob")) throw error;
    }
  };
}

/** What a blob's properties say of its rehydration. */
export function shownRehydration({ record }: BlobDocument): Record<string, unknown> {
  const { rehydration } = record ?? {};
  if (rehydration === undefined) return {};
  return {
    archiveStatus: `rehydrate-pending-to-${rehydration.tier.toLowerCase()}`,
    rehydratePriority: rehydration.priority,
  };
}

/** Ends a rehydration whose time has come; every access to a blob passes here. */
export function finishRehydration(
  rules: FrontRules,
  store: MetadataStore,
  document: BlobDocument,
): void {
  const { rehydration, ...record } = document.record ?? {};
  if (rehydration === undefined || rehydration.readyAtMs > rules.now()) return;
  const { source } = rehydration;
  const account = document.accountName;
  if (source !== undefined && findCurrent(store, { account, ...source }) === undefined) return;
  document.record = record;
  document.properties.accessTier = rehydration.tier;
  if (source !== undefined) document.properties.copyStatus = "success";
  blobs(store).update(document);
}

/** After Azurite has copied an archived blob: the copy is there and its bytes are not. */
export function beginCopyRehydration(
  rules: FrontRules,
  store: MetadataStore,
  context: RequestContext,
  copy: {
    readonly source: BlobName;
    readonly destination: BlobDocument;
    readonly tier: OnlineTier;
  },
): void {
  const { source, destination, tier } = copy;
  const priority = priorityOf(context);
  destination.properties.accessTier = "Archive";
  destination.properties.copyStatus = "pending";
  destination.record = {
    ...destination.record,
    rehydration: {
      tier,
      priority,
      readyAtMs: rules.now() + rules.rehydrationSeconds(priority) * 1000,
      source: { container: source.container, blob: source.blob },
    },
  };
  blobs(store).update(destination);
}

/**
 * Set Blob Tier on an archived blob: begins a rehydration, or raises the priority of one under way.
 * Throws 409 for another tier than the one under way.
 */
export function beginRehydration(
  rules: FrontRules,
  store: MetadataStore,
  context: RequestContext,
  { document, tier }: { readonly document: BlobDocument; readonly tier: OnlineTier },
): void {
  const before = document.record?.rehydration;
  const priority = before?.priority === "High" ? "High" : priorityOf(context);
  const readyAtMs = rules.now() + rules.rehydrationSeconds(priority) * 1000;
  document.properties.accessTier = "Archive";
  document.record = {
    ...document.record,
    rehydration: {
      ...before,
      tier,
      priority,
      readyAtMs: Math.min(before?.readyAtMs ?? Infinity, readyAtMs),
    },
  };
  blobs(store).update(document);
}

/** Throws 409 when the blob is on its way to another tier than this one. */
export function refuseOtherTier(
  context: RequestContext,
  document: BlobDocument | undefined,
  tier: string,
): void {
  const pending = document?.record?.rehydration;
  if (pending !== undefined && pending.tier !== tier) throw refusal(context, "BlobBeingRehydrated");
}

export function onlineTierOf(tier: string | undefined): OnlineTier | undefined {
  return onlineTiers.find((each) => each === tier);
}

function priorityOf(context: RequestContext): RehydratePriority {
  const asked = context.request?.getHeader("x-ms-rehydrate-priority")?.toLowerCase();
  return asked === "high" ? "High" : "Standard";
}
