import { BlobSASPermissions, SASProtocol, type BlobServiceClient } from "@azure/storage-blob";
import { STAGING_CONTAINER } from "#core/ports/staging.ts";
import { callAzure } from "../errors.ts";

/** Clocks of this machine and of Azure may differ by this much. */
const CLOCK_SKEW_MS = 5 * 60_000;
/** A SAS is handed out again while at least this part of its life is left. */
const REUSE_SHARE = 0.5;

interface IssuedSas {
  readonly url: string;
  readonly expiresAt: Date;
}

/** Read-only user-delegation SAS of a bundle: no account key exists, and it says who asked for it. */
export function createBundleSas(now: () => Date): {
  urlOf(service: BlobServiceClient, name: string, lifetimeSeconds: number): Promise<string>;
} {
  const issued = new Map<string, IssuedSas>();

  return {
    async urlOf(service, name, lifetimeSeconds) {
      const key = JSON.stringify([service.url, name, lifetimeSeconds]);
      const lifetimeMs = lifetimeSeconds * 1000;
      const known = issued.get(key);
      const remainingMs = (known?.expiresAt.getTime() ?? 0) - now().getTime();
      if (known !== undefined && remainingMs >= lifetimeMs * REUSE_SHARE) return known.url;
      const startsOn = new Date(now().getTime() - CLOCK_SKEW_MS);
      const expiresOn = new Date(now().getTime() + lifetimeMs);
      const url = await callAzure(`make a SAS for ${name}`, async () => {
        const delegation = await service.getUserDelegationKey(startsOn, expiresOn);
        // The SDK knows the account's name in host style and in path style.
        const blob = service.getContainerClient(STAGING_CONTAINER).getBlobClient(name);
        return blob.generateUserDelegationSasUrl(
          {
            permissions: BlobSASPermissions.parse("r"),
            startsOn,
            expiresOn,
            ...(service.url.startsWith("https:") && { protocol: SASProtocol.Https }),
          },
          delegation,
        );
      });
      issued.set(key, { url, expiresAt: expiresOn });
      return url;
    },
  };
}
