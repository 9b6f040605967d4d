import type {
  BlobDocument,
  BlobName,
  BlobProperties,
  MetadataStore,
  RequestContext,
} from "./azurite-types.ts";
import { isImmutableContainer, type FrontRules } from "./blob-record.ts";
import { findCurrent, findVersion, listVersions, versionIdOf } from "./blob-versions.ts";
import { finishRehydration, shownRehydration } from "./rehydration.ts";
import { refusal } from "./storage-errors.ts";

/** Wraps what finds and shows blobs: versions by their id, and what the front knows of them. */
export function installReads(rules: FrontRules, prototype: MetadataStore): void {
  installFinding(rules, prototype);
  installShowing(prototype);
  installLists(rules, prototype);
  installContainers(rules, prototype);
}

function installFinding(rules: FrontRules, prototype: MetadataStore): void {
  const { getBlobWithLeaseUpdated } = prototype;
  prototype.getBlobWithLeaseUpdated = async function find(
    this: MetadataStore,
    account,
    container,
    blob,
    snapshot,
    context,
    ...rest
  ) {
    const versionId = versionIdOf(context);
    const name = { account, container, blob };
    const isCurrent = versionId === findCurrentVersionId(this, name, versionId);
    if (isCurrent) {
      const call = [account, container, blob, snapshot, context, ...rest] as const;
      const current = await getBlobWithLeaseUpdated.apply(this, [...call]);
      if (current?.record !== undefined) finishRehydration(rules, this, current);
      return current;
    }
    await this.checkContainerExist(context, account, container);
    const version = findVersion(this, name, versionId ?? "");
    if (version !== undefined) finishRehydration(rules, this, version);
    else if (rest[0] !== false) throw refusal(context, "BlobNotFound");
    return version;
  };
}

/** Undefined where no version was asked for: then the current one is meant. */
function findCurrentVersionId(
  store: MetadataStore,
  name: BlobName,
  asked: string | undefined,
): string | undefined {
  return asked === undefined ? undefined : findCurrent(store, name)?.record?.versionId;
}

function installShowing(prototype: MetadataStore): void {
  const { downloadBlob, getBlobProperties } = prototype;
  prototype.downloadBlob = async function download(this: MetadataStore, ...call) {
    const [, account, container, blob] = call;
    const document = await downloadBlob.apply(this, call);
    if (document.record === undefined) return document;
    const name = { account, container, blob };
    const properties = { ...document.properties, ...shownWhole(this, name, document) };
    return { ...document, properties };
  };
  prototype.getBlobProperties = async function read(this: MetadataStore, ...call) {
    const [context, account, container, blob, snapshot] = call;
    const answer = await getBlobProperties.apply(this, call);
    const document = await this.getBlobWithLeaseUpdated(
      account,
      container,
      blob,
      snapshot,
      context,
      false,
      true,
    );
    if (document?.record === undefined) return answer;
    const properties = {
      ...answer.properties,
      ...shownWhole(this, { account, container, blob }, document),
    };
    return { ...answer, properties };
  };
}

function installLists(rules: FrontRules, prototype: MetadataStore): void {
  const { listBlobs } = prototype;
  prototype.listBlobs = async function list(this: MetadataStore, ...call) {
    const [context, account, container, delimiter, blob, prefix = "", , marker = ""] = call;
    const [current, prefixes, nextMarker] = await listBlobs.apply(this, call);
    const include = includedIn(context);
    const show = (document: BlobDocument, isCurrent: boolean): BlobDocument => {
      finishRehydration(rules, this, document);
      if (document.record === undefined) return document;
      const properties = { ...document.properties, ...shownProperties(document, include) };
      if (!include.has("versions")) return { ...document, properties };
      return { ...document, ...shownVersion(document, isCurrent), properties };
    };
    const shown = current.map((document) => show(document, true));
    const isWhole = delimiter === undefined && blob === undefined;
    if (!include.has("versions") || !isWhole || account === undefined || container === undefined) {
      return [shown, prefixes, nextMarker];
    }
    // The last page's marker is empty or absent.
    const upTo = nextMarker === "" ? undefined : nextMarker;
    const range = { prefix, after: marker, upTo };
    const versions = listVersions(this, { account, container }, range);
    const all = [...versions.map((version) => show(version, false)), ...shown];
    return [all.sort(byNameAndVersion), prefixes, nextMarker];
  };
}

function installContainers(rules: FrontRules, prototype: MetadataStore): void {
  const { getContainerProperties } = prototype;
  prototype.getContainerProperties = async function read(this: MetadataStore, ...call) {
    const [, account, container] = call;
    const answer = await getContainerProperties.apply(this, call);
    const isImmutableStorageWithVersioningEnabled = isImmutableContainer(rules, account, container);
    const properties = { ...answer.properties, isImmutableStorageWithVersioningEnabled };
    return { ...answer, properties };
  };
}

/** What a list was asked to show beside the plain properties. */
function includedIn(context: RequestContext): ReadonlySet<string> {
  const asked = context.request?.getQuery("include") ?? "";
  return new Set(asked.toLowerCase().split(","));
}

function shownProperties(
  document: BlobDocument,
  shown: ReadonlySet<string>,
): Partial<BlobProperties> {
  const { policy, hasLegalHold } = document.record ?? {};
  return {
    ...shownRehydration(document),
    ...(policy !== undefined && shown.has("immutabilitypolicy")
      ? {
          immutabilityPolicyExpiresOn: new Date(policy.untilMs),
          immutabilityPolicyMode: policy.mode,
        }
      : {}),
    ...(hasLegalHold === true && shown.has("legalhold") ? { legalHold: true } : {}),
  };
}

function shownVersion({ record }: BlobDocument, isCurrent: boolean): object {
  const versionId = record?.versionId;
  if (versionId === undefined) return {};
  return { versionId, isCurrentVersion: isCurrent ? true : undefined };
}

/** Headers of one blob, its version among them. */
function shownWhole(
  store: MetadataStore,
  name: BlobName,
  document: BlobDocument,
): Partial<BlobProperties> {
  const current = findCurrent(store, name);
  const isCurrent = current?.record?.versionId === document.record?.versionId;
  return {
    ...shownProperties(document, new Set(["immutabilitypolicy", "legalhold"])),
    ...shownVersion(document, isCurrent),
  };
}

function byNameAndVersion(one: BlobDocument, other: BlobDocument): number {
  if (one.name !== other.name) return one.name < other.name ? -1 : 1;
  return (one.record?.versionId ?? "") < (other.record?.versionId ?? "") ? -1 : 1;
}
