import type { DiskRecord, GrantRecord, SnapshotRecord } from "./disk-catalogue.ts";
import type {
  DiskDescription,
  DiskState as ReportedState,
  GrantDescription,
  SnapshotDescription,
} from "./disk-service.ts";
import type { DiskState } from "./disk-state.ts";

export function describeGrant(grant: GrantRecord): GrantDescription {
  return {
    kind: grant.kind,
    id: grant.id,
    access: grant.access,
    grantedAt: new Date(grant.grantedAt),
    expiresAt: new Date(grant.expiresAt),
  };
}

export function describeDiskRecord(state: DiskState, disk: DiskRecord): DiskDescription {
  const grant = state.liveGrant({ kind: "disk", id: disk.id });
  const { upload } = disk;
  return {
    kind: "disk",
    id: disk.id,
    sizeBytes: disk.sizeBytes,
    uniqueId: disk.uniqueId,
    familyId: disk.familyId,
    sourceUniqueId: disk.sourceUniqueId ?? undefined,
    createdAt: new Date(disk.createdAt),
    allocatedBytes: state.allocatedBytes(disk.layerId),
    state: reportedState(upload, grant !== undefined),
    liveGrant: grant && describeGrant(grant),
    uploadDefect: upload?.phase === "ended" && !upload.hasFooter ? "FooterMissing" : undefined,
  };
}

export function describeSnapshotRecord(
  state: DiskState,
  snapshot: SnapshotRecord,
): SnapshotDescription {
  const grant = state.liveGrant({ kind: "snapshot", id: snapshot.id });
  return {
    kind: "snapshot",
    id: snapshot.id,
    sizeBytes: snapshot.sizeBytes,
    uniqueId: snapshot.uniqueId,
    familyId: snapshot.familyId ?? undefined,
    sourceUniqueId: snapshot.sourceUniqueId,
    incremental: snapshot.familyId !== null,
    createdAt: new Date(snapshot.createdAt),
    allocatedBytes: state.allocatedBytes(snapshot.layerId),
    state: grant === undefined ? "Unattached" : "ActiveSAS",
    liveGrant: grant && describeGrant(grant),
  };
}

function reportedState(upload: DiskRecord["upload"], hasLiveGrant: boolean): ReportedState {
  if (upload?.phase === "offered") return "ReadyToUpload";
  if (upload?.phase === "active") return "ActiveUpload";
  return hasLiveGrant ? "ActiveSAS" : "Unattached";
}
