/**
 * The name under which a service is found inside virtual networks: `a.blob.core.windows.net` is
 * `a.privatelink.blob.core.windows.net` there. Exports of disks are `md-….z12.blob.storage.azure.net`
 * outside, and their zone is that of blobs
 * (learn.microsoft.com/azure/private-link/private-endpoint-dns; the form of the record is assumed).
 */
export function privateNameOf(host: string): string {
  const [, exported] = /^(.+)\.blob\.storage\.azure\.net$/i.exec(host) ?? [];
  if (exported !== undefined) return `${exported}.privatelink.blob.core.windows.net`;
  const dot = host.indexOf(".");
  return `${host.slice(0, dot)}.privatelink${host.slice(dot)}`;
}
