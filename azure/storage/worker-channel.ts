import type { TokenCredential } from "@azure/core-auth";
import { ContainerClient } from "@azure/storage-blob";
import { QueueClient } from "@azure/storage-queue";
import type { WorkerChannel } from "#core/ports/worker-channel.ts";
import { callAzure } from "../errors.ts";
import { decodeMessage, encodeMessage } from "./message-text.ts";
import { BLOB_RETRY, QUEUE_RETRY } from "./retry-options.ts";

/** An event nobody took for so long has lost its meaning: the control plane gave the job up. */
const EVENT_LIFETIME_SECONDS = 24 * 60 * 60;

export interface WorkerChannelOptions {
  readonly credential: TokenCredential;
  /** Full URL of this worker's job queue. */
  readonly jobQueueUrl: string;
  /** Full URL of the control plane's event queue. */
  readonly eventQueueUrl: string;
  readonly jobContainerUrl: string;
}

export interface WorkerChannelClients {
  readonly jobs: QueueClient;
  readonly events: QueueClient;
  readonly jobBlobs: ContainerClient;
}

/** The worker's ends of the queues, with its managed identity. */
export function createWorkerChannel(options: WorkerChannelOptions): WorkerChannel {
  const { credential } = options;
  return createWorkerChannelOver({
    jobs: new QueueClient(options.jobQueueUrl, credential, { retryOptions: QUEUE_RETRY }),
    events: new QueueClient(options.eventQueueUrl, credential, { retryOptions: QUEUE_RETRY }),
    jobBlobs: new ContainerClient(options.jobContainerUrl, credential, {
      retryOptions: BLOB_RETRY,
    }),
  });
}

export function createWorkerChannelOver(clients: WorkerChannelClients): WorkerChannel {
  /** Receipts of messages that were received and not deleted; one at a time in practice. */
  const receipts = new Map<string, string>();

  return {
    async receiveJob(visibilitySeconds, signal) {
      const answer = await callAzure("receive a job", () =>
        clients.jobs.receiveMessages({
          numberOfMessages: 1,
          visibilityTimeout: visibilitySeconds,
          abortSignal: signal,
        }),
      );
      const [message] = answer.receivedMessageItems;
      if (message === undefined) return undefined;
      receipts.set(message.messageId, message.popReceipt);
      return {
        id: message.messageId,
        text: decodeMessage(message.messageText),
        dequeueCount: message.dequeueCount,
      };
    },

    async deleteJob({ id }, signal) {
      const receipt = receipts.get(id);
      if (receipt === undefined) return;
      await callAzure("delete a job message", async () => {
        await clients.jobs.deleteMessage(id, receipt, { abortSignal: signal });
      });
      receipts.delete(id);
    },

    readJobBlob(blobName, signal) {
      return callAzure(`read the job in blob ${blobName}`, async () => {
        const blob = clients.jobBlobs.getBlobClient(blobName);
        const bytes = await blob.downloadToBuffer(0, undefined, { abortSignal: signal });
        return bytes.toString("utf8");
      });
    },

    async sendEvent(text, signal) {
      await callAzure("send an event", () =>
        clients.events.sendMessage(encodeMessage(text), {
          messageTimeToLive: EVENT_LIFETIME_SECONDS,
          abortSignal: signal,
        }),
      );
    },
  };
}
