import type { VmPoint } from "#core/repository/index.ts";
import { EXIT_CODES, textOf, type Command, type CommandContext } from "../command-line.ts";
import { findVmPoints, nameIn } from "../restore-points.ts";
import { formatSize, formatTable, plainText } from "../table.ts";

const COLUMNS = [
  { title: "VM ID" },
  { title: "NAME" },
  { title: "POINT ID" },
  { title: "TAKEN" },
  { title: "DISKS", align: "right" },
  { title: "SIZE", align: "right" },
] as const;

interface Unreadable {
  readonly name: string;
  readonly message: string;
}

/** `ls`: what can be restored. Exit code 1 when a manifest cannot be read. */
export const listCommand: Command = {
  name: "ls",
  usage: "[--vm ID] [--json]",
  summary: "Lists VMs and their restore points.",
  details: ["", "--vm ID                 this VM only"],
  options: { vm: { type: "string" } },
  positionalCounts: [0],
  async run(context) {
    const { repository, options, signal } = context;
    const points: VmPoint[] = [];
    const unreadable: Unreadable[] = [];
    for await (const found of findVmPoints(repository, textOf(options, "vm"), signal)) {
      if (found.kind === "readable") points.push(found.point);
      else unreadable.push({ name: found.name, message: found.message });
    }
    points.sort(byVmAndTime);
    if (options["json"] === true) printJson(context, points, unreadable);
    else printTable(context, points, unreadable);
    return unreadable.length === 0 ? EXIT_CODES.ok : EXIT_CODES.findings;
  },
};

function byVmAndTime(left: VmPoint, right: VmPoint): number {
  if (left.vmId !== right.vmId) return left.vmId < right.vmId ? -1 : 1;
  return Date.parse(left.takenAt) - Date.parse(right.takenAt);
}

function printJson(
  { terminal }: CommandContext,
  points: readonly VmPoint[],
  unreadable: readonly Unreadable[],
): void {
  const rows = points.map(({ vmId, pointId, takenAt, committedAt, vm, disks }) => ({
    vmId,
    vmName: nameIn(vm),
    pointId,
    takenAt,
    committedAt,
    disks: disks.map(({ lun, sizeBytes, diskPoint }) => ({
      slot: lun,
      diskId: diskPoint.diskId,
      sizeBytes,
    })),
  }));
  terminal.print(JSON.stringify({ points: rows, unreadable }, null, 2));
}

function printTable(
  { terminal }: CommandContext,
  points: readonly VmPoint[],
  unreadable: readonly Unreadable[],
): void {
  const rows = points.map(({ vmId, pointId, takenAt, vm, disks }) => [
    vmId,
    nameIn(vm),
    pointId,
    takenAt,
    String(disks.length),
    formatSize(disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)),
  ]);
  terminal.print(rows.length === 0 ? "No restore points." : formatTable(COLUMNS, rows));
  for (const { name, message } of unreadable) {
    terminal.complain(`holdfast: ${name} cannot be read: ${plainText(message)}`);
  }
}
