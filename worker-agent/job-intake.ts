import type { CryptoKey } from "jose";
import { HoldfastError, messageOf } from "#core/lib/errors.ts";
import type { ReceivedMessage, WorkerChannel } from "#core/ports/worker-channel.ts";
import { jobMessageSchema, type Job } from "#core/protocol/job.ts";
import { openJob } from "#core/protocol/sealing.ts";

export interface JobIntakeOptions {
  readonly workerId: string;
  readonly privateKey: CryptoKey;
  readonly channel: WorkerChannel;
  readonly now: () => Date;
}

/** A worker lives for hours and does few jobs: enough to know all of them again. */
const REMEMBERED_JOBS_MAX = 1_000;

export type Intake =
  | { readonly kind: "job"; readonly job: Job }
  | { readonly kind: "refused"; readonly jobId: string; readonly why: string };

/**
 * Decides on queue messages. The queue delivers at least once and anyone who can write to it may put
 * an old message back: only a job that is sealed to this worker's key, has not expired and is newer
 * than what was taken before comes through.
 */
export class JobIntake {
  readonly #options: JobIntakeOptions;
  /** Highest attempt taken, by job. */
  readonly #taken = new Map<string, number>();

  constructor(options: JobIntakeOptions) {
    this.#options = options;
  }

  /** Errors that can pass (the blob service) are thrown: the message comes back. */
  async take(message: ReceivedMessage, signal: AbortSignal): Promise<Intake> {
    const parsed = jobMessageSchema.safeParse(jsonOf(message.text));
    if (!parsed.success) return { kind: "refused", jobId: "", why: "it is not a job message" };
    const envelope = parsed.data;
    const { jobId } = envelope;
    let job: Job;
    try {
      const sealed =
        envelope.carrier === "inline"
          ? envelope.sealed
          : await this.#options.channel.readJobBlob(envelope.blobName, signal);
      job = await openJob(sealed, {
        privateKey: this.#options.privateKey,
        workerId: this.#options.workerId,
        now: this.#options.now(),
      });
    } catch (error) {
      if (isPassing(error) || signal.aborted) throw error;
      return { kind: "refused", jobId, why: messageOf(error) };
    }
    if (job.attempt <= (this.#taken.get(job.jobId) ?? 0)) {
      return { kind: "refused", jobId, why: `attempt ${job.attempt} was taken before` };
    }
    this.#remember(job);
    return { kind: "job", job };
  }

  #remember(job: Job): void {
    this.#taken.set(job.jobId, job.attempt);
    const [oldest] = this.#taken.keys();
    if (this.#taken.size > REMEMBERED_JOBS_MAX && oldest !== undefined) this.#taken.delete(oldest);
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof HoldfastError && error.retry === "backoff";
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON is one more shape that the schema refuses.
    return undefined;
  }
}
