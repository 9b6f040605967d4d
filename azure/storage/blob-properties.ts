import type { AccessTier, OnlineTier, StoredBlob } from "#core/ports/blob-store.ts";

/** What Get Blob Properties and List Blobs say alike. */
interface BlobProperties {
  readonly contentLength?: number;
  readonly lastModified?: Date;
  readonly accessTier?: string;
  readonly archiveStatus?: string;
  readonly copyStatus?: string;
  readonly immutabilityPolicyExpiresOn?: Date;
}

const TIERS = { hot: "Hot", cool: "Cool", cold: "Cold", archive: "Archive" } as const;

export function tierName<Tier extends AccessTier>(tier: Tier): (typeof TIERS)[Tier] {
  return TIERS[tier];
}

export function asListed(name: string, properties: BlobProperties): StoredBlob {
  const tier = tierOf(properties.accessTier);
  const rehydratingTo = rehydrationOf(properties.archiveStatus) ?? copyTargetOf(properties);
  const immutableUntil = properties.immutabilityPolicyExpiresOn;
  return {
    name,
    sizeBytes: properties.contentLength ?? 0,
    modifiedAt: properties.lastModified ?? new Date(0),
    ...(tier === undefined ? {} : { tier }),
    ...(rehydratingTo === undefined ? {} : { rehydratingTo }),
    ...(immutableUntil === undefined ? {} : { immutableUntil }),
  };
}

const TIERS_OF_AZURE: ReadonlyMap<string | undefined, AccessTier> = new Map([
  ["Hot", "hot"],
  ["Cool", "cool"],
  ["Cold", "cold"],
  ["Archive", "archive"],
]);

function tierOf(azureTier: string | undefined): AccessTier | undefined {
  return TIERS_OF_AZURE.get(azureTier);
}

const REHYDRATIONS_OF_AZURE: ReadonlyMap<string | undefined, OnlineTier> = new Map([
  ["rehydrate-pending-to-hot", "hot"],
  ["rehydrate-pending-to-cool", "cool"],
  ["rehydrate-pending-to-cold", "cold"],
]);

function rehydrationOf(archiveStatus: string | undefined): OnlineTier | undefined {
  return REHYDRATIONS_OF_AZURE.get(archiveStatus);
}

/** A copy that is not complete has all its properties already, and not all its bytes. */
function copyTargetOf({ copyStatus, accessTier }: BlobProperties): OnlineTier | undefined {
  if (copyStatus !== "pending") return undefined;
  const tier = tierOf(accessTier);
  return tier === undefined || tier === "archive" ? "hot" : tier;
}
