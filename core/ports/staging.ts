/**
 * The staging account of a region: worker bundle, queues of jobs, blobs of large jobs. Implemented in
 * `azure/storage`. All calls are idempotent.
 */
export interface BundleReference {
  readonly name: string;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly md5: string;
}

export interface StagingPort {
  /** Uploads the bundle once per name; answers a read-only user-delegation SAS URL for it. */
  ensureBundle(
    blobServiceUrl: string,
    bundle: BundleReference,
    readBundle: () => Promise<Uint8Array>,
    sasLifetimeSeconds: number,
    signal: AbortSignal,
  ): Promise<string>;
  ensureQueue(queueServiceUrl: string, queueName: string): Promise<void>;
  deleteQueue(queueServiceUrl: string, queueName: string): Promise<void>;
  sendMessage(
    queueServiceUrl: string,
    queueName: string,
    text: string,
    timeToLiveSeconds: number,
  ): Promise<void>;
  /** For sealed jobs that are too large for a message. */
  writeJobBlob(blobServiceUrl: string, blobName: string, text: string): Promise<void>;
  deleteJobBlobs(blobServiceUrl: string, prefix: string): Promise<void>;
  /** Creates the repository's container if it is missing. */
  ensureContainer(blobServiceUrl: string, container: string): Promise<void>;
}

/** Name of the container for bundles and large jobs in a staging account. */
export const STAGING_CONTAINER = "holdfast";
