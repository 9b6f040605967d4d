/**
 * The worker's ends of the queues. Implemented in `azure/storage` with the worker's managed identity.
 */
export interface ReceivedMessage {
  readonly id: string;
  readonly text: string;
  readonly dequeueCount: number;
}

export interface WorkerChannel {
  /** Next job message, hidden for `visibilitySeconds`; `undefined` when the queue is empty. */
  receiveJob(visibilitySeconds: number, signal: AbortSignal): Promise<ReceivedMessage | undefined>;
  /** Removes a job message: done once the job has been taken over. */
  deleteJob(message: ReceivedMessage, signal: AbortSignal): Promise<void>;
  readJobBlob(blobName: string, signal: AbortSignal): Promise<string>;
  sendEvent(text: string, signal: AbortSignal): Promise<void>;
}
