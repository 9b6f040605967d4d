import { activeSas, conflict, invalidParameter, notAllowed } from "./disk-errors.ts";
import type { DiskRecord, SnapshotRecord } from "./disk-catalogue.ts";
import { checkFamilyGrants, checkGrantDuration } from "./disk-limits.ts";
import type { GrantRequest, ResourceKey } from "./disk-service.ts";
import type { DiskState } from "./disk-state.ts";
import { signSas } from "./shared-access.ts";

/** What a grant needs and does: limits, the states of an upload, the SAS itself. */

export async function grantAccess(
  state: DiskState,
  origin: string,
  request: GrantRequest,
): Promise<{ accessSas: string; expiresAt: Date }> {
  checkGrantDuration(request.durationSeconds);
  return state.change(async () => {
    const record = beginGrant(state, request);
    let grant = state.liveGrant(request);
    if (grant !== undefined && grant.access !== request.access) {
      throw activeSas(request.kind, request.id, `granting ${request.access} access`);
    }
    if (grant === undefined) {
      if (request.kind === "snapshot") checkFamily(state, record.familyId);
      const now = state.now();
      grant = {
        kind: request.kind,
        id: request.id,
        access: request.access,
        identifier: state.newGuid(),
        grantedAt: now.toISOString(),
        expiresAt: new Date(now.getTime() + request.durationSeconds * 1000).toISOString(),
      };
      state.putGrant(grant);
    }
    const path = `/${record.storeName}/${record.containerName}/abcd`;
    const query = signSas(state.sasKey, { ...grant, path });
    return { accessSas: `${origin}${path}?${query}`, expiresAt: new Date(grant.expiresAt) };
  });
}

/** Always succeeds for what exists, so that an upload that failed can be undone. */
export async function revokeAccess(state: DiskState, key: ResourceKey): Promise<void> {
  await state.change(async () => {
    state.resource(key);
    state.dropGrant(key);
    if (key.kind !== "disk") return;
    const { upload } = state.disk(key.id);
    if (upload?.phase === "active") upload.phase = "ended";
  });
}

/** A disk whose bytes are complete: not an upload that runs, waits or ended without its footer. */
export function usableDisk(state: DiskState, diskId: string): DiskRecord {
  const disk = state.disk(diskId);
  const { upload } = disk;
  if (upload === null) return disk;
  if (upload.phase !== "ended") {
    const diskState = upload.phase === "offered" ? "ReadyToUpload" : "ActiveUpload";
    throw notAllowed(`The disk ${diskId} is in the ${diskState} state: finish its upload first.`);
  }
  if (!upload.hasFooter) {
    throw notAllowed(`The upload of disk ${diskId} ended without a valid VHD footer.`);
  }
  return disk;
}

/** Checks that the resource may have such a grant, and begins an upload with its write grant. */
function beginGrant(state: DiskState, request: GrantRequest): DiskRecord | SnapshotRecord {
  const { kind, id, access } = request;
  if (kind === "snapshot") {
    if (access === "Write") throw invalidParameter(`Snapshot ${id} cannot be written.`);
    return state.snapshot(id);
  }
  if (request.attachedToRunningVmId !== undefined) {
    throw conflict(
      `Access not permitted because disk ${id} is currently attached to running VM ` +
        `${request.attachedToRunningVmId}.`,
    );
  }
  if (access === "Read") return usableDisk(state, id);
  const disk = state.disk(id);
  if (disk.upload === null || disk.upload.phase === "ended") {
    throw notAllowed(`Write access to disk ${id} needs the ReadyToUpload or ActiveUpload state.`);
  }
  disk.upload.phase = "active";
  return disk;
}

function checkFamily(state: DiskState, familyId: string | null): void {
  if (familyId === null) return;
  const live = state
    .liveGrants()
    .filter(
      ({ kind, id }) => kind === "snapshot" && state.snapshots.get(id)?.familyId === familyId,
    );
  checkFamilyGrants(familyId, live.length);
}
