import { EXIT_CODES, countOf, type Command } from "../command-line.ts";
import { readRange } from "../export/disk-pieces.ts";
import { openDisk } from "../restore-points.ts";
import { DISK_HELP, DISK_OPTIONS, DISK_USAGE, diskNameOf } from "./disk-arguments.ts";
import { UsageError } from "../usage-error.ts";

/** `cat`: bytes of a disk on standard output, verified before they are written. */
export const catCommand: Command = {
  name: "cat",
  usage: `${DISK_USAGE} [--offset BYTES] [--length BYTES]`,
  summary: "Writes bytes of a disk to standard output.",
  details: [
    ...DISK_HELP,
    "--offset BYTES          where to begin (default 0)",
    "--length BYTES          how much (default: to the end of the disk)",
  ],
  options: { ...DISK_OPTIONS, offset: { type: "string" }, length: { type: "string" } },
  positionalCounts: [3],
  async run(context) {
    const { repository, options, terminal, signal } = context;
    const offsetBytes = countOf(options, "offset") ?? 0;
    const askedBytes = countOf(options, "length");
    await using codec = context.startCodec();
    const reader = await openDisk(repository, diskNameOf(context), codec, signal);
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
