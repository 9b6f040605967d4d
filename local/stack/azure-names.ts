/** The names under which the services of Azure's public cloud are reached. */
import type { StorageEndpoints } from "#local/storage/storage-backend.ts";

export const resourceManagerHost = "management.azure.com";
export const tenantHost = "login.microsoftonline.com";

export function storageEndpointsOf(account: string): StorageEndpoints {
  const of = (service: string) => `https://${account}.${service}.core.windows.net/`;
  return { blob: of("blob"), queue: of("queue"), table: of("table") };
}

/** What the services' certificate must carry beside loopback addresses. */
export const certificateNames: readonly string[] = [
  resourceManagerHost,
  tenantHost,
  "*.blob.core.windows.net",
  "*.queue.core.windows.net",
  "*.table.core.windows.net",
  "*.vault.azure.net",
  ...Array.from({ length: 50 }, (_, zone) => `*.z${zone + 1}.blob.storage.azure.net`),
];
