/**
 * Versions. The *current version* of a blob is Azurite's document of that name; a *previous version*
 * is a copy of such a document under a container's and a blob's name that no request can spell, so
 * that all of Azurite passes it by but its garbage collector, which finds its bytes in use.
 */
import type { BlobDocument, BlobName, MetadataStore, RequestContext } from "./azurite-types.ts";

const hiddenSuffix = "?versions";
const ticksPerMs = 10_000;

let lastTick = 0;
let lastMs = 0;

/** A time with seven digits, as Azure's; no two of one process are alike. */
export function newVersionId(nowMs: number): string {
  lastTick = nowMs > lastMs ? 0 : lastTick + 1;
  lastMs = Math.max(nowMs, lastMs) + Math.floor(lastTick / ticksPerMs);
  lastTick %= ticksPerMs;
  return versionIdAt(lastMs, lastTick);
}

function versionIdAt(ms: number, tick: number): string {
  return new Date(ms).toISOString().replace("Z", `${String(tick).padStart(4, "0")}Z`);
}

/** The version that a request names. */
export function versionIdOf(context: RequestContext): string | undefined {
  const asked = context.request?.getQuery("versionid");
  return asked === "" ? undefined : asked;
}

export function findCurrent(store: MetadataStore, name: BlobName): BlobDocument | undefined {
  const found = blobs(store).findOne({ ...queryOf(name), snapshot: "" });
  return found?.isCommitted === true ? found : undefined;
}

/** A previous version. */
export function findVersion(
  store: MetadataStore,
  { account, container, blob }: BlobName,
  versionId: string,
): BlobDocument | undefined {
  const name = hiddenName(blob, versionId);
  const hidden = queryOf({ account, container: container + hiddenSuffix, blob: name });
  return blobs(store).findOne(hidden) ?? undefined;
}

/** The state of a blob before a write, to be kept when that succeeds. */
export function copyOf(document: BlobDocument): BlobDocument {
  const { $loki: _key, meta: _meta, ...content } = document;
  return structuredClone(content);
}

/** Makes a state of the past a previous version. */
export function keepVersion(store: MetadataStore, past: BlobDocument): void {
  const { leaseId: _lease, leaseExpireTime: _expiry, ...content } = past;
  const modifiedMs = new Date(past.properties.lastModified).getTime();
  // What was written before versioning was on gets the time of its writing.
  const versionId = past.record?.versionId ?? versionIdAt(modifiedMs, 0);
  blobs(store).insert({
    ...content,
    containerName: past.containerName + hiddenSuffix,
    name: hiddenName(past.name, versionId),
    record: { ...past.record, versionId },
    properties: { ...past.properties, leaseState: "available", leaseStatus: "unlocked" },
  });
}

/** Previous versions with names in (`after`, `upTo`] that begin with `prefix`, under their real name. */
export function listVersions(
  store: MetadataStore,
  { account, container }: { readonly account: string; readonly container: string },
  range: { readonly prefix: string; readonly after: string; readonly upTo: string | undefined },
): BlobDocument[] {
  const hidden = { accountName: account, containerName: container + hiddenSuffix };
  return blobs(store)
    .find(hidden)
    .map((version) => ({ ...version, name: realName(version.name), containerName: container }))
    .filter(
      ({ name }) =>
        name.startsWith(range.prefix) &&
        name > range.after &&
        (range.upTo === undefined || name <= range.upTo),
    );
}

export function hasVersions(store: MetadataStore, account: string, container: string): boolean {
  const hidden = { accountName: account, containerName: container + hiddenSuffix };
  return blobs(store).count(hidden) > 0;
}

export function removeVersions(store: MetadataStore, account: string, container: string): void {
  blobs(store).findAndRemove({ accountName: account, containerName: container + hiddenSuffix });
}

export function blobs(store: MetadataStore) {
  return store.db.getCollection(store.BLOBS_COLLECTION);
}

function queryOf({ account, container, blob }: BlobName) {
  return { accountName: account, containerName: container, name: blob };
}

function hiddenName(blob: string, versionId: string): string {
  return `${blob}\0${versionId}`;
}

function realName(hidden: string): string {
  return hidden.slice(0, hidden.lastIndexOf("\0"));
}
