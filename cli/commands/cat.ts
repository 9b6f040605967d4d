import { DiskPointReader, readVmPoint } from "#core/repository/index.ts";
import { EXIT_CODES, countOf, type Command } from "../command-line.ts";
import { readRange } from "../export/disk-pieces.ts";
import { findDisk } from "../restore-points.ts";
import { UsageError } from "../usage-error.ts";

/** `cat`: bytes of a disk on standard output, verified before they are written. */
export const catCommand: Command = {
  name: "cat",
  usage: "VM-ID POINT-ID DISK [--offset BYTES] [--length BYTES]",
  summary: "Writes bytes of a disk to standard output.",
  details: [
    "",
    "DISK is the disk's id, or its place in the VM: os, or the number of a data disk.",
    "--offset BYTES          where to begin (default 0)",
    "--length BYTES          how much (default: to the end of the disk)",
  ],
  options: { offset: { type: "string" }, length: { type: "string" } },
  positionalCounts: [3],
  async run({ repository, positionals, options, terminal, signal }) {
    const [vmId = "", pointId = "", disk = ""] = positionals;
    const offsetBytes = countOf(options, "offset") ?? 0;
    const askedBytes = countOf(options, "length");
    const point = await readVmPoint(repository, vmId, pointId, signal);
    const { diskPoint } = findDisk(point, disk);
    const reader = await DiskPointReader.open(repository, diskPoint, signal);
    const lengthBytes = askedBytes ?? Math.max(0, reader.sizeBytes - offsetBytes);
    if (offsetBytes + lengthBytes > reader.sizeBytes) {
      throw new UsageError(
        `The disk ends at byte ${reader.sizeBytes}; ${offsetBytes} + ${lengthBytes} is behind it.`,
      );
    }
    for await (const { bytes } of readRange(reader, { offsetBytes, lengthBytes }, signal)) {
      await terminal.writeBytes(bytes);
    }
    return EXIT_CODES.ok;
  },
};
