/**
 * Which hosts get a token for managed disks, and for which audience. Exports lie at hosts whose first
 * label begins with `md-`, a name that no storage account can have (accounts have no hyphens):
 * `md-<id>.z<n>.blob.storage.azure.net`, `md-<id>.blob.core.windows.net` and their national forms. AzCopy tells
 * them apart in the same way (`mdAccountNeedsOAuth`, `cmd/credentialUtil.go` of Azure/azure-storage-azcopy).
 */
import { HoldfastError } from "#core/lib/errors.ts";

/**
 * The audience. The service compares it with the slash at its end (`MDResource` in `common/oauthTokenManager.go`
 * of Azure/azure-storage-azcopy), hence the two slashes of the scope.
 */
export const DISK_RESOURCE = "https://disk.azure.com/";
export const DISK_SCOPE = `${DISK_RESOURCE}/.default`;

const DISK_HOST =
  /^md-[a-z0-9-]+(\.z\d+)?\.blob\.(storage\.azure\.net|core\.windows\.net|core\.usgovcloudapi\.net|core\.chinacloudapi\.cn)$/;

/** Throws `DiskHostUnknown` for a host that must not see the token. */
export function requireDiskHost(hostname: string): void {
  if (DISK_HOST.test(hostname) || isThisMachine(hostname)) return;
  throw new HoldfastError(
    "DiskHostUnknown",
    `${hostname} is no host of managed disks: it gets no token of the worker's identity.`,
    { context: { host: hostname } },
  );
}

/** What stays in the machine is told to nobody. */
function isThisMachine(hostname: string): boolean {
  return /^127(\.\d{1,3}){3}$/.test(hostname);
}
