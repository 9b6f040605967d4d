/**
 * Creates a blob from parts: Put Block for each, then one Put Block List that makes it appear. Blocks
 * of an upload that died are thrown away by the service after a week
 * (learn.microsoft.com/rest/api/storageservices/put-block-list).
 */
import { randomUUID } from "node:crypto";
import type { BlockBlobClient, BlockBlobCommitBlockListOptions } from "@azure/storage-blob";
import { azureCodeOf, statusOf } from "../errors.ts";
import { uploadBody } from "./upload-body.ts";

/** Parts of one blob on their way at the same time; each is in memory until it was stored. */
const PARTS_UNDER_WAY = 4;

/** What a finished upload says of its blob; `exists` when there was one of that name. */
type Uploaded = "exists" | { readonly versionId: string | undefined };

export async function uploadParts(
  blob: BlockBlobClient,
  parts: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  properties: Pick<BlockBlobCommitBlockListOptions, "tier" | "immutabilityPolicy">,
): Promise<Uploaded> {
  const blockIds = await stageParts(blob, parts, signal);
  try {
    const { versionId } = await blob.commitBlockList(blockIds, {
      conditions: { ifNoneMatch: "*" },
      abortSignal: signal,
      ...properties,
    });
    return { versionId };
  } catch (error) {
    const code = azureCodeOf(error);
    const isThere = code === "BlobAlreadyExists" || code === "BlobArchived";
    if (isThere || statusOf(error) === 412) return "exists";
    // Whoever commits a list of blocks first discards everybody else's blocks of that name.
    if (code === "InvalidBlockList" && (await blob.exists({ abortSignal: signal })))
      return "exists";
    throw error;
  }
}

async function stageParts(
  blob: BlockBlobClient,
  parts: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<string[]> {
  // Writers of the same name must not take each other's blocks: ids begin with what is only ours.
  const upload = randomUUID();
  const blockIds: string[] = [];
  const underWay = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  try {
    for await (const part of parts) {
      const number = String(blockIds.length).padStart(5, "0");
      const blockId = Buffer.from(`${upload}-${number}`).toString("base64");
      blockIds.push(blockId);
      const staging = blob
        .stageBlock(blockId, uploadBody(part), part.length, { abortSignal: signal })
        .then(() => undefined)
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => underWay.delete(staging));
      underWay.add(staging);
      if (underWay.size >= PARTS_UNDER_WAY) await Promise.race(underWay);
      if (failure !== undefined) break;
    }
  } finally {
    await Promise.all(underWay);
  }
  if (failure !== undefined) throw failure.error;
  return blockIds;
}
