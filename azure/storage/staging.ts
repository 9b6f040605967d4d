/**
 * The staging account of a region, as the control plane uses it: the worker bundle with its read-only
 * SAS, a job queue per worker, blobs of large jobs.
 */
import type { TokenCredential } from "@azure/core-auth";
import { BlobServiceClient, type ContainerClient } from "@azure/storage-blob";
import { QueueServiceClient, type QueueClient } from "@azure/storage-queue";
import { STAGING_CONTAINER, type StagingPort } from "#core/ports/staging.ts";
import { createBundleSas } from "./bundle-sas.ts";
import { uploadBundle } from "./bundle-upload.ts";
import { SMALL_CALL_BOUNDS, callInTime, readInTime, type CallBounds } from "./call-in-time.ts";
import { encodeMessage } from "./message-text.ts";
import { BLOB_RETRY, QUEUE_RETRY } from "./retry-options.ts";

export interface StagingOptions {
  readonly credential: TokenCredential;
  readonly now?: (() => Date) | undefined;
}

/** What makes clients for a service URL; tests pass clients of their own making. */
export interface StagingClients {
  readonly blobService: (url: string) => BlobServiceClient;
  readonly queueService: (url: string) => QueueServiceClient;
  readonly now: () => Date;
  /** Of requests other than the upload of the bundle. */
  readonly bounds?: CallBounds;
}

export function createStaging({ credential, now }: StagingOptions): StagingPort {
  return createStagingOver({
    blobService: (url) => new BlobServiceClient(url, credential, { retryOptions: BLOB_RETRY }),
    queueService: (url) => new QueueServiceClient(url, credential, { retryOptions: QUEUE_RETRY }),
    now: now ?? (() => new Date()),
  });
}

export function createStagingOver(clients: StagingClients): StagingPort {
  const blobService = once(clients.blobService);
  const queueService = once(clients.queueService);
  const { bounds = SMALL_CALL_BOUNDS } = clients;
  const bundleSas = createBundleSas(clients.now);

  function queue(serviceUrl: string, name: string): QueueClient {
    return queueService(serviceUrl).getQueueClient(name);
  }

  async function container(serviceUrl: string, name: string): Promise<ContainerClient> {
    const client = blobService(serviceUrl).getContainerClient(name);
    await callInTime(`create container ${name}`, bounds, (abortSignal) =>
      client.createIfNotExists({ abortSignal }),
    );
    return client;
  }

  return {
    async ensureBundle(blobServiceUrl, bundle, readBundle, sasLifetimeSeconds, signal) {
      const holder = await container(blobServiceUrl, STAGING_CONTAINER);
      await uploadBundle(holder, bundle, readBundle, { signal, bounds });
      return bundleSas.urlOf(blobService(blobServiceUrl), bundle.name, sasLifetimeSeconds);
    },

    async ensureQueue(queueServiceUrl, queueName) {
      await callInTime(`create queue ${queueName}`, bounds, (abortSignal) =>
        queue(queueServiceUrl, queueName).createIfNotExists({ abortSignal }),
      );
    },

    async deleteQueue(queueServiceUrl, queueName) {
      await callInTime(`delete queue ${queueName}`, bounds, (abortSignal) =>
        queue(queueServiceUrl, queueName).deleteIfExists({ abortSignal }),
      );
    },

    async sendMessage(queueServiceUrl, queueName, text, timeToLiveSeconds) {
      // A message that comes twice is a job that its worker knows already.
      await callInTime(`send a message to queue ${queueName}`, bounds, (abortSignal) =>
        queue(queueServiceUrl, queueName).sendMessage(encodeMessage(text), {
          messageTimeToLive: timeToLiveSeconds,
          abortSignal,
        }),
      );
    },

    async writeJobBlob(blobServiceUrl, blobName, text) {
      const holder = await container(blobServiceUrl, STAGING_CONTAINER);
      const body = Buffer.from(text, "utf8");
      await callInTime(`write blob ${blobName}`, bounds, (abortSignal) =>
        holder.getBlockBlobClient(blobName).upload(body, body.length, { abortSignal }),
      );
    },

    async deleteJobBlobs(blobServiceUrl, prefix) {
      const holder = blobService(blobServiceUrl).getContainerClient(STAGING_CONTAINER);
      const deleteAll = async (abortSignal: AbortSignal): Promise<void> => {
        for await (const blob of holder.listBlobsFlat({ prefix, abortSignal })) {
          await holder.getBlobClient(blob.name).deleteIfExists({ abortSignal });
        }
      };
      // A missing container has no blobs.
      await readInTime(`delete blobs ${prefix}`, bounds, deleteAll);
    },

    async ensureContainer(blobServiceUrl, name) {
      await container(blobServiceUrl, name);
    },
  };
}

/** Makes a client per URL once, so that connections and tokens are used again. */
function once<Client>(make: (url: string) => Client): (url: string) => Client {
  const known = new Map<string, Client>();
  return (url) => {
    const client = known.get(url) ?? make(url);
    known.set(url, client);
    return client;
  };
}
