import { randomBytes } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { resolve } from "node:path";
import { unreachable } from "#core/lib/assert.ts";
import { giveBack, type DiskPointReader } from "#core/repository/index.ts";
import { EXIT_CODES, textOf, type Command, type CommandContext } from "../command-line.ts";
import { readContent } from "../export/disk-pieces.ts";
import type { ImageWriter } from "../export/image-writer.ts";
import { writeNewFile } from "../export/new-file.ts";
import { Qcow2ImageWriter } from "../export/qcow2-image.ts";
import { RawImageWriter, VHD_PORTABLE_BYTES_MAX, VhdImageWriter } from "../export/raw-image.ts";
import { Progress } from "../progress.ts";
import { openDisk } from "../restore-points.ts";
import { UsageError } from "../usage-error.ts";
import { DISK_HELP, DISK_OPTIONS, DISK_USAGE, diskNameOf } from "./disk-arguments.ts";

const FORMATS = ["raw", "vhd", "qcow2"] as const;
type Format = (typeof FORMATS)[number];

/** `export`: a disk as an image file, verified block by block, complete or not there at all. */
export const exportCommand: Command = {
  name: "export",
  usage: `${DISK_USAGE} --format raw|vhd|qcow2 --output FILE [--force]`,
  summary: "Writes a disk to an image file.",
  details: [
    ...DISK_HELP,
    "--format raw            the disk's bytes in a sparse file",
    "--format vhd            fixed VHD: what Azure takes as the upload of a managed disk. Other",
    "                        programs read it up to 2,040 GiB",
    "--format qcow2          for QEMU and KVM; free space takes none",
    "--force                 replace FILE if it is there",
  ],
  options: {
    ...DISK_OPTIONS,
    format: { type: "string" },
    output: { type: "string" },
    force: { type: "boolean" },
  },
  positionalCounts: [3],
  async run(context) {
    const { repository, options, terminal, signal } = context;
    const format = formatOf(textOf(options, "format"));
    const output = textOf(options, "output");
    if (output === undefined || output === "") throw new UsageError("--output FILE is missing.");
    const path = resolve(terminal.directory, output);
    await using codec = context.startCodec();
    const reader = await openDisk(repository, diskNameOf(context), codec, signal);
    if (format === "vhd" && reader.sizeBytes > VHD_PORTABLE_BYTES_MAX) {
      terminal.complain(
        "holdfast: programs other than Azure do not read a VHD above 2,040 GiB; qcow2 has no such limit.",
      );
    }
    await writeNewFile(path, { replace: options["force"] === true }, async (file) => {
      await exportDisk(context, reader, writerOf(format, file, reader.sizeBytes));
    });
    terminal.complain(`Wrote ${path}, ${format}, a disk of ${reader.sizeBytes} bytes.`);
    return EXIT_CODES.ok;
  },
};

function formatOf(text: string | undefined): Format {
  const format = FORMATS.find((each) => each === text);
  if (format !== undefined) return format;
  throw new UsageError(`--format takes one of ${FORMATS.join(", ")}.`);
}

function writerOf(format: Format, file: FileHandle, sizeBytes: number): ImageWriter {
  switch (format) {
    case "raw":
      return new RawImageWriter(file, sizeBytes);
    case "vhd":
      return new VhdImageWriter(file, sizeBytes, {
        uniqueId: randomBytes(16),
        createdAtMs: Date.now(),
      });
    case "qcow2":
      return new Qcow2ImageWriter(file, sizeBytes);
    default:
      return unreachable(format);
  }
}

async function exportDisk(
  { terminal, signal }: CommandContext,
  reader: DiskPointReader,
  writer: ImageWriter,
): Promise<void> {
  const progress = new Progress(terminal, reader.sizeBytes);
  try {
    for await (const { offsetBytes, bytes } of readContent(reader, signal)) {
      const endBytes = offsetBytes + bytes.length;
      await writer.write(offsetBytes, bytes);
      giveBack(bytes);
      progress.update(endBytes);
    }
    signal.throwIfAborted();
    await writer.finish();
  } finally {
    progress.end();
  }
}
