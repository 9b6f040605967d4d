/**
 * Program of one encoder thread: computes jobs of the block codec, one after the other. Bundled as a
 * file of its own beside the program, so that a thread loads nothing else.
 */
import { isMainThread, parentPort, workerData, type MessagePort } from "node:worker_threads";
import { codeOf, messageOf } from "../../lib/errors.ts";
import { decodeBlocks } from "./decode-blocks.ts";
import { encodeBlocks } from "./encode-blocks.ts";
import { resealFrames } from "./reseal-frames.ts";
import { giveBack } from "./give-back.ts";
import { ENCODER_THREAD, type CodecAnswer, type CodecRequest } from "./thread-messages.ts";

export function serveCodec(port: MessagePort): void {
  port.on("message", (request: CodecRequest) => {
    const { answer, transfer } = compute(request);
    port.postMessage(answer, transfer);
  });
}

function compute(request: CodecRequest): { answer: CodecAnswer; transfer: ArrayBuffer[] } {
  const { id } = request;
  try {
    if (request.kind === "encode") {
      const encoded = encodeBlocks(request.job);
      return { answer: { id, kind: "encoded", encoded }, transfer: wholeBuffer(encoded.frames) };
    }
    if (request.kind === "reseal") {
      const frames = resealFrames(request.job);
      return { answer: { id, kind: "resealed", frames }, transfer: wholeBuffer(frames) };
    }
    const raw = decodeBlocks(request.job);
    return { answer: { id, kind: "decoded", raw }, transfer: wholeBuffer(raw) };
  } catch (error) {
    const failure = { code: codeOf(error), message: messageOf(error) };
    return { answer: { id, kind: "failed", ...failure }, transfer: [] };
  } finally {
    giveBack(request.job.bytes);
  }
}

function wholeBuffer(bytes: Uint8Array): ArrayBuffer[] {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength ? [buffer] : [];
}

if (!isMainThread && parentPort !== null && workerData === ENCODER_THREAD) serveCodec(parentPort);
