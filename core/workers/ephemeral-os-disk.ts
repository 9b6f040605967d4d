/**
 * Sizes whose cache has room for the OS disk of an Ubuntu image: 30 GiB, and 1 GiB for the guest state
 * of Trusted Launch. GiB of cache as in "Max cached and temp storage throughput (cache size in GiB)" of
 * https://learn.microsoft.com/azure/virtual-machines/fsv2-series and
 * https://learn.microsoft.com/azure/virtual-machines/dv3-dsv3-series; a size that is not here gets a
 * managed OS disk, which always works (https://learn.microsoft.com/azure/virtual-machines/ephemeral-os-disks).
 */
const CACHE_GIB: ReadonlyMap<string, number> = new Map([
  ["standard_f2s_v2", 32],
  ["standard_f4s_v2", 64],
  ["standard_f8s_v2", 128],
  ["standard_f16s_v2", 256],
  ["standard_d2s_v3", 50],
  ["standard_d4s_v3", 100],
  ["standard_d8s_v3", 200],
  ["standard_d16s_v3", 400],
]);
const NEEDED_GIB = 31;

export function fitsEphemeralDisk(vmSize: string): boolean {
  return (CACHE_GIB.get(vmSize.toLowerCase()) ?? 0) >= NEEDED_GIB;
}
