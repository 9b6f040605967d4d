import { Worker } from "node:worker_threads";
import { assert } from "../../lib/assert.ts";
import { HoldfastError } from "../../lib/errors.ts";
import type {
  BlockCodec,
  BlockToDecode,
  DecodeJob,
  EncodeJob,
  EncodedBlocks,
  ResealJob,
} from "./block-codec.ts";
import { ENCODER_THREAD, type CodecAnswer, type CodecRequest } from "./thread-messages.ts";

const MAX_THREADS = 8;
/** A thread holds one job at a time; its garbage must not pile up beside the others'. */
const HEAP_LIMITS = { maxOldGenerationSizeMb: 96, maxYoungGenerationSizeMb: 8 };

type RequestBody =
  | { readonly kind: "encode"; readonly job: EncodeJob }
  | { readonly kind: "decode"; readonly job: DecodeJob }
  | { readonly kind: "reseal"; readonly job: ResealJob };

interface Pending {
  readonly resolve: (answer: CodecAnswer) => void;
  readonly reject: (error: unknown) => void;
}

interface EncoderThread {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
}

/** The file of the thread: source beside source, bundle beside bundle. */
export function encoderThreadFile(): URL {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "mjs";
  return new URL(`./encoder-thread.${extension}`, import.meta.url);
}

/** Runs the block codec on threads. Shared by all disks of the process. */
export class ThreadCodec implements BlockCodec {
  readonly #threads: readonly EncoderThread[];
  #nextId = 0;
  #isClosed = false;

  /** @param threadCount at least 1; more than 8 are 8 */
  constructor(threadCount: number) {
    const count = Math.min(MAX_THREADS, Math.max(1, threadCount));
    this.#threads = Array.from({ length: count }, startThread);
  }

  async encode(job: EncodeJob, signal: AbortSignal): Promise<EncodedBlocks> {
    const blocks = job.blocks.map((block) => ({
      ...block,
      knownHashes: block.knownHashes.map(ownCopy),
    }));
    const { firstFrameNumber } = job;
    const keys = { packId: ownCopy(job.packId), frameKey: ownCopy(job.frameKey) };
    const hashKey = ownCopy(job.hashKey);
    const slim = { ...keys, hashKey, blocks, firstFrameNumber, bytes: transferable(job.bytes) };
    const answer = await this.#ask({ kind: "encode", job: slim }, slim.bytes, signal);
    assert(answer.kind === "encoded", `an encoder thread answered ${answer.kind} to encode`);
    return answer.encoded;
  }

  async decode(job: DecodeJob, signal: AbortSignal): Promise<Uint8Array> {
    const copy = ownCopies();
    const blocks = job.blocks.map((block) => travelling(block, copy));
    const bytes = transferable(job.bytes);
    const answer = await this.#ask({ kind: "decode", job: { bytes, blocks } }, bytes, signal);
    assert(answer.kind === "decoded", `an encoder thread answered ${answer.kind} to decode`);
    return answer.raw;
  }

  async reseal(job: ResealJob, signal: AbortSignal): Promise<Uint8Array> {
    const copy = ownCopies();
    const frames = job.frames.map(({ frameNumber, blocks }) => ({
      frameNumber,
      blocks: blocks.map((block) => travelling(block, copy)),
    }));
    const target = { packId: copy(job.target.packId), frameKey: copy(job.target.frameKey) };
    const bytes = transferable(job.bytes);
    const body = { kind: "reseal", job: { bytes, frames, target } } as const;
    const answer = await this.#ask(body, bytes, signal);
    assert(answer.kind === "resealed", `an encoder thread answered ${answer.kind} to reseal`);
    return answer.frames;
  }

  /** Ends the threads; jobs that still run are rejected. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  async #ask(
    body: RequestBody,
    bytes: Uint8Array<ArrayBuffer>,
    signal: AbortSignal,
  ): Promise<CodecAnswer> {
    signal.throwIfAborted();
    if (this.#isClosed) throw threadDied("it was closed");
    const thread = this.#threads.reduce((least, each) =>
      each.pending.size < least.pending.size ? each : least,
    );
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<CodecAnswer>();
    thread.pending.set(id, { resolve, reject });
    const request: CodecRequest = { id, ...body };
    thread.worker.postMessage(request, [bytes.buffer]);
    const answer = await promise;
    if (answer.kind === "failed") throw new HoldfastError(answer.code, answer.message);
    return answer;
  }
}

function startThread(): EncoderThread {
  const worker = new Worker(encoderThreadFile(), {
    workerData: ENCODER_THREAD,
    resourceLimits: HEAP_LIMITS,
    name: ENCODER_THREAD,
  });
  const pending = new Map<number, Pending>();
  const failAll = (cause: unknown): void => {
    for (const { reject } of pending.values()) reject(cause);
    pending.clear();
  };
  worker.on("message", (answer: CodecAnswer) => {
    pending.get(answer.id)?.resolve(answer);
    pending.delete(answer.id);
  });
  worker.on("error", (error) => failAll(threadDied("it failed", error)));
  worker.on("exit", () => failAll(threadDied("it ended")));
  return { worker, pending };
}

function threadDied(why: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    "EncoderThreadDied",
    `An encoder thread cannot finish its job: ${why}. Run the job again; nothing was lost.`,
    cause === undefined ? { retry: "backoff" } : { retry: "backoff", cause },
  );
}

/** Cloning a view clones all of the buffer under it, so small values travel as copies. */
function ownCopy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytes);
}

/** Blocks of one pack share their keys: copied once, cloned once. */
function ownCopies(): (bytes: Uint8Array) => Uint8Array {
  const copies = new Map<Uint8Array, Uint8Array>();
  return (bytes) => {
    const copy = copies.get(bytes) ?? ownCopy(bytes);
    copies.set(bytes, copy);
    return copy;
  };
}

function travelling(block: BlockToDecode, copy: (bytes: Uint8Array) => Uint8Array): BlockToDecode {
  return {
    ...block,
    packId: copy(block.packId),
    frameKey: copy(block.frameKey),
    hashKey: copy(block.hashKey),
    hash: ownCopy(block.hash),
  };
}

/** Moves to the thread without a copy when the array owns its whole buffer. */
function transferable(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength;
  return isWhole ? new Uint8Array(buffer) : ownCopy(bytes);
}
