import { crc32 } from "node:zlib";

/**
 * A GUID partition table with one partition, as the UEFI specification 2.10 (chapter 5) lays it out:
 * protective MBR in sector 0, header in sector 1, 128 entries of 128 bytes behind it, and a copy of
 * entries and header in the last 33 sectors.
 */
const sectorSizeBytes = 512;
const entryCount = 128;
const entrySizeBytes = 128;
const entrySectorCount = (entryCount * entrySizeBytes) / sectorSizeBytes;
const headerSizeBytes = 92;
/** `Linux filesystem data`. */
const linuxFileSystemType = "0fc63daf-8483-4772-8e79-3d69d8477de4";

/** Where partitions begin since 2 KiB sectors and RAID stripes exist. */
export const partitionOffsetBytes = 1024 * 1024;

export interface PartitionTable {
  /** Pieces of the disk's image and where they belong. */
  readonly pieces: readonly { readonly offsetBytes: number; readonly bytes: Buffer }[];
  readonly partitionSizeBytes: number;
}

/** @param diskSizeBytes a multiple of 1 MiB, at least 4 MiB */
export function encodePartitionTable(options: {
  diskSizeBytes: number;
  diskGuid: string;
  partitionGuid: string;
  partitionName: string;
}): PartitionTable {
  const { diskSizeBytes } = options;
  const sectorCount = diskSizeBytes / sectorSizeBytes;
  const firstSector = partitionOffsetBytes / sectorSizeBytes;
  // Ends on a MiB, before the copy of the table.
  const lastSector = sectorCount - firstSector - 1;
  const entries = encodeEntries({ ...options, firstSector, lastSector });
  const header = { sectorCount, diskGuid: options.diskGuid, entriesChecksum: crc32(entries) };
  const lastHeaderSector = sectorCount - 1;
  const primary = encodeHeader({ ...header, ownSector: 1, otherSector: lastHeaderSector });
  const copy = encodeHeader({ ...header, ownSector: lastHeaderSector, otherSector: 1 });
  const entriesCopyOffset = (lastHeaderSector - entrySectorCount) * sectorSizeBytes;
  return {
    pieces: [
      {
        offsetBytes: 0,
        bytes: Buffer.concat([encodeProtectiveMbr(sectorCount), primary, entries]),
      },
      { offsetBytes: entriesCopyOffset, bytes: Buffer.concat([entries, copy]) },
    ],
    partitionSizeBytes: (lastSector - firstSector + 1) * sectorSizeBytes,
  };
}

/** One partition of type EE over the whole disk, so that old tools keep their hands off. */
function encodeProtectiveMbr(sectorCount: number): Buffer {
  const mbr = Buffer.alloc(sectorSizeBytes);
  const entryOffset = 446;
  mbr.writeUInt8(0x02, entryOffset + 2);
  mbr.writeUInt8(0xee, entryOffset + 4);
  mbr.fill(0xff, entryOffset + 5, entryOffset + 8);
  mbr.writeUInt32LE(1, entryOffset + 8);
  mbr.writeUInt32LE(Math.min(sectorCount - 1, 0xffff_ffff), entryOffset + 12);
  mbr.writeUInt16LE(0xaa55, 510);
  return mbr;
}

function encodeEntries(partition: {
  partitionGuid: string;
  partitionName: string;
  firstSector: number;
  lastSector: number;
}): Buffer {
  const entries = Buffer.alloc(entryCount * entrySizeBytes);
  encodeGuid(linuxFileSystemType).copy(entries, 0);
  encodeGuid(partition.partitionGuid).copy(entries, 16);
  entries.writeBigUInt64LE(BigInt(partition.firstSector), 32);
  entries.writeBigUInt64LE(BigInt(partition.lastSector), 40);
  entries.write(partition.partitionName, 56, 72, "utf16le");
  return entries;
}

function encodeHeader(options: {
  ownSector: number;
  otherSector: number;
  sectorCount: number;
  diskGuid: string;
  entriesChecksum: number;
}): Buffer {
  const { ownSector, otherSector, sectorCount } = options;
  const header = Buffer.alloc(sectorSizeBytes);
  const entriesSector = ownSector === 1 ? 2 : ownSector - entrySectorCount;
  header.write("EFI PART", 0, "latin1");
  header.writeUInt32LE(0x0001_0000, 8);
  header.writeUInt32LE(headerSizeBytes, 12);
  header.writeBigUInt64LE(BigInt(ownSector), 24);
  header.writeBigUInt64LE(BigInt(otherSector), 32);
  header.writeBigUInt64LE(BigInt(2 + entrySectorCount), 40);
  header.writeBigUInt64LE(BigInt(sectorCount - entrySectorCount - 2), 48);
  encodeGuid(options.diskGuid).copy(header, 56);
  header.writeBigUInt64LE(BigInt(entriesSector), 72);
  header.writeUInt32LE(entryCount, 80);
  header.writeUInt32LE(entrySizeBytes, 84);
  header.writeUInt32LE(options.entriesChecksum, 88);
  header.writeUInt32LE(crc32(header.subarray(0, headerSizeBytes)), 16);
  return header;
}

/** The first three fields of a GUID are little-endian on disk. */
function encodeGuid(guid: string): Buffer {
  const bytes = Buffer.from(guid.replaceAll("-", ""), "hex");
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}
