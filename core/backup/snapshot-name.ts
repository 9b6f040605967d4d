import { createHash } from "node:crypto";
import { RESOURCE_TYPES, resourceGroupIdOf, resourceId } from "../model/resource-id.ts";

/** Longest part of the disk's name in a snapshot's name; Azure allows 80 characters in all. */
const DISK_NAME_CHARACTERS_MAX = 40;

/**
 * Id of the snapshot that a session takes of a disk: in the disk's resource group (Azure wants the
 * disk's subscription), always the same for the same session and disk.
 */
export function snapshotIdOf(
  disk: { readonly resourceId: string; readonly name: string; readonly diskId: string },
  sessionId: string,
): string {
  const digest = createHash("sha256").update(`${sessionId}\n${disk.diskId}`).digest("hex");
  const name = disk.name.replaceAll(/[^A-Za-z0-9_-]/g, "-").slice(0, DISK_NAME_CHARACTERS_MAX);
  return resourceId(
    resourceGroupIdOf(disk.resourceId),
    RESOURCE_TYPES.snapshot,
    `holdfast-${name}-${digest.slice(0, 16)}`,
  );
}
