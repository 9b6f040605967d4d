import { createHash } from "node:crypto";
import type { ContainerClient } from "@azure/storage-blob";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import type { BundleReference } from "#core/ports/staging.ts";
import { callAzure, statusOf } from "../errors.ts";
import { readInTime, type CallBounds } from "./call-in-time.ts";

const BLOCK_SIZE_BYTES = 8 * 1024 * 1024;
const PARALLEL_BLOCKS_MAX = 4;

/**
 * Uploads the bundle unless a blob of that name holds it already. The name contains a digest of the
 * content, and a blob appears only when all its blocks are committed: what is there is complete.
 * Memory: the bundle itself.
 */
export async function uploadBundle(
  container: ContainerClient,
  bundle: BundleReference,
  readBundle: () => Promise<Uint8Array>,
  { signal, bounds }: { readonly signal: AbortSignal; readonly bounds: CallBounds },
): Promise<void> {
  const blob = container.getBlockBlobClient(bundle.name);
  const existing = await readInTime(`read the worker bundle ${bundle.name}`, bounds, (late) =>
    blob.getProperties({ abortSignal: AbortSignal.any([signal, late]) }),
  );
  if (existing !== undefined) return assertSame(bundle, existing);

  const bytes = await readBundle();
  assertDescribed(bundle, bytes);
  const starts = Array.from(
    { length: Math.ceil(bytes.length / BLOCK_SIZE_BYTES) },
    (_, index) => index * BLOCK_SIZE_BYTES,
  );
  await callAzure(`upload the worker bundle ${bundle.name}`, async () => {
    const blockIds = await mapBounded(starts, PARALLEL_BLOCKS_MAX, async (start, index) => {
      const block = bytes.subarray(start, start + BLOCK_SIZE_BYTES);
      const md5 = createHash("md5").update(block).digest();
      const blockId = Buffer.from(String(index).padStart(8, "0")).toString("base64");
      await blob.stageBlock(blockId, block, block.length, {
        transactionalContentMD5: md5,
        abortSignal: signal,
      });
      return blockId;
    });
    try {
      await blob.commitBlockList(blockIds, {
        blobHTTPHeaders: {
          blobContentType: "application/gzip",
          blobContentMD5: Buffer.from(bundle.md5, "hex"),
        },
        metadata: { sha256: bundle.sha256 },
        conditions: { ifNoneMatch: "*" },
        abortSignal: signal,
      });
    } catch (error) {
      // Another activity was faster with the same bytes.
      if (statusOf(error) !== 409 && statusOf(error) !== 412) throw error;
    }
  });
}

function assertSame(
  bundle: BundleReference,
  existing: { readonly contentLength?: number; readonly metadata?: Record<string, string> },
): void {
  const sha256 = existing.metadata?.["sha256"];
  if (existing.contentLength === bundle.sizeBytes && sha256 === bundle.sha256) return;
  throw new HoldfastError(
    "BundleMismatch",
    `The blob ${bundle.name} in the staging account is not the worker bundle of this version. Delete it and try again.`,
  );
}

function assertDescribed(bundle: BundleReference, bytes: Uint8Array): void {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const md5 = createHash("md5").update(bytes).digest("hex");
  if (bytes.length === bundle.sizeBytes && sha256 === bundle.sha256 && md5 === bundle.md5) return;
  throw new HoldfastError(
    "BundleDamaged",
    `The worker bundle ${bundle.name} of this installation does not match its description. Build or deploy it again.`,
  );
}
