/**
 * The bytes of exported managed disks, through the SAS that `beginGetAccess` gives: a thin client of
 * the Blob service of our own. `@azure/storage-blob` is not used here because its page lists lose the
 * last byte of each range, stop at 10,000 ranges and cannot page a diff of managed disks.
 *
 * A *reader* or *writer* stands for one SAS; it owns its connections until it is disposed of, and may
 * be used by many callers at once. Errors are `HoldfastError` and never carry the SAS:
 * `SasExpired`, `SasRefused`, `NetworkRefused`, `DiskNotFound`, `DiffUnavailable`, `NotFixedVhd`,
 * `MalformedPageList`, `SasMalformed`, `DiskRequestRefused`, `Cancelled` (never retried), and after
 * several attempts `DiskBusy`, `DiskUnavailable`, `DiskUnreachable`, `RequestTimedOut`, `ShortRead`.
 */
import { assert } from "#core/lib/assert.ts";
import type { DiskData } from "#core/ports/disk-data.ts";
import { SasDiskReader } from "./disk-reader.ts";
import { SasDiskWriter } from "./disk-writer.ts";
import { SasEndpoint, type EndpointOptions } from "./sas-endpoint.ts";

export type DiskDataOptions = EndpointOptions;

export function createDiskData(options: DiskDataOptions = {}): DiskData {
  return {
    openReader: (sas) => new SasDiskReader(new SasEndpoint(sas, options)),
    openWriter: (sas, sizeBytes) => {
      assert(sizeBytes > 0 && sizeBytes % 512 === 0, `disk size ${sizeBytes} is not in 512s`);
      return new SasDiskWriter(new SasEndpoint(sas, options), sizeBytes);
    },
  };
}
