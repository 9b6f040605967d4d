/**
 * What a restored disk gets once its bytes are in it. While it is written it has the policy
 * `AllowPrivate` with a disk access of ours, and no disk encryption set: Azure takes no upload to a disk
 * that has both (learn.microsoft.com/azure/virtual-machines/disks-enable-private-links-for-import-export-portal).
 * Afterwards it is as its source was. Until then the platform's key encrypts it at rest.
 */
import { sameId } from "../model/resource-id.ts";
import type { DiskConfiguration } from "../model/vm-configuration.ts";
import type { DiskAccessState, DiskSettings, NetworkAccess } from "../ports/compute.ts";

export interface DiskSettingsPlan {
  readonly settings: DiskSettings;
  /** Why it is not as at the source. */
  readonly note?: string;
}

/** Nobody exports it until somebody changes that. */
const CLOSED: NetworkAccess = { policy: "DenyAll", publicAccess: false };

/** @param target where the disk is, and the disk access of its source if that still exists */
export function planDiskSettings(
  source: DiskConfiguration,
  target: { readonly location: string; readonly access: DiskAccessState | undefined },
): DiskSettingsPlan {
  const { diskEncryptionSetId, dataAccessAuthMode } = source;
  const { networkAccess, note } = networkAccessFor(source, target);
  const settings: DiskSettings = {
    networkAccess,
    ...(diskEncryptionSetId === undefined ? {} : { diskEncryptionSetId }),
    ...(dataAccessAuthMode === "AzureActiveDirectory" ? { dataAccessAuthMode } : {}),
  };
  return note === undefined ? { settings } : { settings, note };
}

function networkAccessFor(
  source: DiskConfiguration,
  { location, access }: { readonly location: string; readonly access: DiskAccessState | undefined },
): { readonly networkAccess: NetworkAccess; readonly note?: string } {
  const { networkAccessPolicy: policy, publicNetworkAccess, diskAccessId, name } = source;
  const publicAccess = publicNetworkAccess !== "Disabled";
  if (policy === undefined)
    return {
      networkAccess: CLOSED,
      note: `the restore point does not tell the network access of disk ${name}: it is restored with DenyAll`,
    };
  if (policy !== "AllowPrivate") return { networkAccess: { policy, publicAccess } };
  if (diskAccessId !== undefined && access?.location === location)
    return { networkAccess: { policy, publicAccess, diskAccessId } };
  return {
    networkAccess: CLOSED,
    note: `disk ${name} had the disk access ${diskAccessId ?? "of an unknown name"}, which is not there or in another region: it is restored with DenyAll`,
  };
}

/** Whether a disk has what is wanted; an encryption set that is not wanted may stay. */
export function sameSettings(found: DiskSettings, wanted: DiskSettings): boolean {
  const { policy, publicAccess, diskAccessId } = wanted.networkAccess;
  return (
    found.networkAccess.policy === policy &&
    found.networkAccess.publicAccess === publicAccess &&
    (policy !== "AllowPrivate" || isSame(found.networkAccess.diskAccessId, diskAccessId)) &&
    (wanted.diskEncryptionSetId === undefined ||
      isSame(found.diskEncryptionSetId, wanted.diskEncryptionSetId)) &&
    (wanted.dataAccessAuthMode === undefined ||
      found.dataAccessAuthMode === wanted.dataAccessAuthMode)
  );
}

function isSame(one: string | undefined, other: string | undefined): boolean {
  return sameId(one ?? "", other ?? "");
}
