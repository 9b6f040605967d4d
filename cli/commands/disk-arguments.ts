/** The arguments that name one disk: `VM-ID POINT-ID DISK`, of a restore point or of an archive. */
import { textOf, type CommandContext } from "../command-line.ts";
import type { DiskName } from "../restore-points.ts";
import { UsageError } from "../usage-error.ts";

export const DISK_USAGE = "VM-ID POINT-ID DISK";
export const DISK_OPTIONS = {
  archive: { type: "boolean" },
  retrieval: { type: "string" },
} as const;
export const DISK_HELP = [
  "",
  "DISK is the disk's id, or its place in the VM: os, or the number of a data disk.",
  "--archive               POINT-ID is the id of an archive",
  "--retrieval ID          of that archive's content, where it lies in the archive tier",
];

export function diskNameOf({
  positionals,
  options,
}: Pick<CommandContext, "positionals" | "options">): DiskName {
  const [vmId = "", id = "", disk = ""] = positionals;
  const retrievalId = textOf(options, "retrieval");
  const kind = options["archive"] === true ? "archive" : "point";
  if (retrievalId !== undefined && kind === "point") {
    throw new UsageError("--retrieval goes with --archive only.");
  }
  return { kind, vmId, id, disk, retrievalId };
}
