/**
 * The bytes of exported managed disks, through the SAS that `beginGetAccess` gives: a thin client of
 * the Blob service of our own. `@azure/storage-blob` is not used here because its page lists lose the
 * last byte of each range, stop at 10,000 ranges and cannot page a diff of managed disks.
 *
 * A *reader* or *writer* stands for one SAS; it owns its connections until it is disposed of, and may
 * be used by many callers at once. A disk in the data access mode `AzureActiveDirectory` gets a token
 * with every request; no other does. Errors are `HoldfastError` and never carry the SAS or the token:
 * `SasExpired`, `SasRefused`, `NetworkRefused`, `DiskNotFound`, `DiffUnavailable`, `NotFixedVhd`,
 * `MalformedPageList`, `SasMalformed`, `DiskHostUnknown`, `DiskTokenRefused`, `DiskPermissionMissing`,
 * `DiskRequestRefused`, `Cancelled` (never retried), and after several attempts `DiskBusy`,
 * `DiskUnavailable`, `DiskUnreachable`, `RequestTimedOut`, `ShortRead`, `DiskTokenMissing`.
 */
import { assert } from "#core/lib/assert.ts";
import type { DiskData } from "#core/ports/disk-data.ts";
import { SasDiskReader } from "./disk-reader.ts";
import { SasDiskWriter } from "./disk-writer.ts";
import { SasEndpoint, type EndpointOptions, type ReadDiskToken } from "./sas-endpoint.ts";

export interface DiskDataOptions extends EndpointOptions {
  /** For disks that ask for a token beside the SAS; without it such disks cannot be opened. */
  readonly readToken?: ReadDiskToken;
}

export function createDiskData({ readToken, ...options }: DiskDataOptions = {}): DiskData {
  function openEndpoint(sas: string, needsToken: boolean): SasEndpoint {
    if (!needsToken) return new SasEndpoint(sas, options);
    assert(readToken !== undefined, "a disk asks for a token, and nothing here gives one");
    return new SasEndpoint(sas, options, readToken);
  }

  return {
    openReader: (sas, { needsToken = false } = {}) =>
      new SasDiskReader(openEndpoint(sas, needsToken)),
    openWriter: (sas, sizeBytes, { needsToken = false } = {}) => {
      assert(sizeBytes > 0 && sizeBytes % 512 === 0, `disk size ${sizeBytes} is not in 512s`);
      return new SasDiskWriter(openEndpoint(sas, needsToken), sizeBytes);
    },
  };
}
