/**
 * The parts of Azurite's classes that the front reads and wraps; its package carries no types.
 * Checked against the version that package.json pins.
 */
import type { BlobRecord } from "./blob-record.ts";

/** A blob in Azurite's LokiJS database. */
export interface BlobDocument {
  readonly name: string;
  readonly accountName: string;
  readonly containerName: string;
  readonly snapshot: string;
  readonly isCommitted: boolean;
  readonly properties: BlobProperties;
  /** What the front keeps with a blob: absent where Azurite's own knowledge is all. */
  record?: BlobRecord;
  readonly $loki?: number;
  readonly meta?: unknown;
  readonly leaseId?: string;
  readonly leaseExpireTime?: Date;
  readonly leaseDurationSeconds?: number;
  readonly leaseBreakTime?: Date;
}

export interface BlobProperties {
  readonly lastModified: Date | string;
  accessTier?: string;
  copyStatus?: string;
  readonly [name: string]: unknown;
}

interface Collection<Document> {
  findOne(query: object): Document | null;
  find(query: object): Document[];
  count(query: object): number;
  insert(document: Document): Document;
  update(document: Document): void;
  remove(document: Document): void;
  findAndRemove(query: object): void;
}

export interface RequestContext {
  readonly contextId: string;
  readonly request?: {
    getQuery(name: string): string | undefined;
    getHeader(name: string): string | undefined;
  };
  readonly response?: { setHeader(name: string, value: string): void };
  readonly context?: {
    readonly account?: string;
    readonly container?: string;
    readonly blob?: string;
  };
}

export interface BlobName {
  readonly account: string;
  readonly container: string;
  readonly blob: string;
}

interface DeleteOptions {
  readonly snapshot?: string;
  readonly deleteSnapshots?: string;
}

/** `LokiBlobMetadataStore`: the methods that the front wraps or calls. */
export interface MetadataStore {
  readonly db: { getCollection(name: string): Collection<BlobDocument> };
  readonly BLOBS_COLLECTION: string;
  checkContainerExist: (
    context: RequestContext,
    account: string,
    container: string,
  ) => Promise<void>;
  getBlobWithLeaseUpdated: (
    account: string,
    container: string,
    blob: string,
    snapshot: string | undefined,
    context: RequestContext,
    forceExist?: boolean,
    forceCommitted?: boolean,
  ) => Promise<BlobDocument | undefined>;
  createBlob: (context: RequestContext, blob: BlobDocument, ...rest: unknown[]) => Promise<unknown>;
  commitBlockList: (
    context: RequestContext,
    blob: BlobDocument,
    ...rest: unknown[]
  ) => Promise<void>;
  startCopyFromURL: CopyMethod;
  copyFromURL: CopyMethod;
  setBlobMetadata: NamedMethod;
  uploadPages: (
    context: RequestContext,
    blob: BlobDocument,
    ...rest: unknown[]
  ) => Promise<unknown>;
  clearRange: (context: RequestContext, blob: BlobDocument, ...rest: unknown[]) => Promise<unknown>;
  appendBlock: (
    context: RequestContext,
    block: BlockDocument,
    ...rest: unknown[]
  ) => Promise<unknown>;
  resizePageBlob: NamedMethod;
  setTier: (
    context: RequestContext,
    account: string,
    container: string,
    blob: string,
    tier: string,
    lease: unknown,
  ) => Promise<200 | 202>;
  deleteBlob: (
    context: RequestContext,
    account: string,
    container: string,
    blob: string,
    options: DeleteOptions,
  ) => Promise<void>;
  downloadBlob: (
    context: RequestContext,
    account: string,
    container: string,
    blob: string,
    snapshot?: string,
    ...rest: unknown[]
  ) => Promise<BlobDocument>;
  getBlobProperties: (
    context: RequestContext,
    account: string,
    container: string,
    blob: string,
    snapshot?: string,
    ...rest: unknown[]
  ) => Promise<{ readonly properties: BlobProperties }>;
  listBlobs: (
    context: RequestContext,
    account: string | undefined,
    container: string | undefined,
    delimiter: string | undefined,
    blob: string | undefined,
    prefix?: string,
    maxResults?: number,
    marker?: string,
    ...rest: unknown[]
  ) => Promise<[BlobDocument[], unknown, string | undefined]>;
  getContainerProperties: (
    context: RequestContext,
    account: string,
    container: string,
    ...rest: unknown[]
  ) => Promise<{ readonly properties: object }>;
  deleteContainer: (
    context: RequestContext,
    account: string,
    container: string,
    ...rest: unknown[]
  ) => Promise<void>;
}

interface BlockDocument {
  readonly accountName: string;
  readonly containerName: string;
  readonly blobName: string;
}

type NamedMethod = (
  context: RequestContext,
  account: string,
  container: string,
  blob: string,
  ...rest: unknown[]
) => Promise<unknown>;

type CopyMethod = (
  context: RequestContext,
  source: BlobName,
  destination: BlobName,
  copySource: string,
  metadata: unknown,
  tier: string | undefined,
  ...rest: unknown[]
) => Promise<BlobProperties>;

export interface BlobHandler {
  readonly metadataStore: MetadataStore;
  /** Asks Azurite itself for the source of a copy, with the SAS that it was named with. */
  validateCopySource: (
    copySource: string,
    sourceAccount: string,
    context: RequestContext,
  ) => Promise<void>;
  setImmutabilityPolicy(options: HandlerOptions, context: RequestContext): Promise<object>;
  deleteImmutabilityPolicy(options: HandlerOptions, context: RequestContext): Promise<object>;
  setLegalHold(
    legalHold: boolean,
    options: HandlerOptions,
    context: RequestContext,
  ): Promise<object>;
}

export interface HandlerOptions {
  readonly requestId?: string;
}
