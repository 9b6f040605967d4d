import { EXIT_CODES, textOf, type Command, type CommandContext } from "../command-line.ts";
import { findRestorables, type Restorable } from "../restore-points.ts";
import { formatSize, formatTable, plainText } from "../table.ts";
import { vmNameIn } from "../vm-names.ts";

const COLUMNS = [
  { title: "VM ID" },
  { title: "NAME" },
  { title: "KIND" },
  { title: "ID" },
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
  summary: "Lists VMs with their restore points and archives.",
  details: ["", "--vm ID                 this VM only"],
  options: { vm: { type: "string" } },
  positionalCounts: [0],
  async run(context) {
    const { repository, options, signal } = context;
    const restorables: Restorable[] = [];
    const unreadable: Unreadable[] = [];
    for await (const found of findRestorables(repository, textOf(options, "vm"), signal)) {
      if (found.kind === "readable") restorables.push(found.restorable);
      else unreadable.push({ name: found.name, message: found.message });
    }
    restorables.sort(byVmAndTime);
    if (options["json"] === true) printJson(context, restorables, unreadable);
    else printTable(context, restorables, unreadable);
    return unreadable.length === 0 ? EXIT_CODES.ok : EXIT_CODES.findings;
  },
};

function byVmAndTime(left: Restorable, right: Restorable): number {
  if (left.vmId !== right.vmId) return left.vmId < right.vmId ? -1 : 1;
  return Date.parse(left.takenAt) - Date.parse(right.takenAt);
}

function printJson(
  { terminal }: CommandContext,
  restorables: readonly Restorable[],
  unreadable: readonly Unreadable[],
): void {
  const points = restorables.map(({ vm, ...point }) => ({ ...point, vmName: vmNameIn(vm) }));
  terminal.print(JSON.stringify({ points, unreadable }, null, 2));
}

function printTable(
  { terminal }: CommandContext,
  restorables: readonly Restorable[],
  unreadable: readonly Unreadable[],
): void {
  const rows = restorables.map(({ kind, vmId, id, takenAt, vm, disks }) => [
    vmId,
    vmNameIn(vm),
    kind,
    id,
    takenAt,
    String(disks.length),
    formatSize(disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)),
  ]);
  terminal.print(rows.length === 0 ? "No restore points." : formatTable(COLUMNS, rows));
  for (const { name, message } of unreadable) {
    terminal.complain(`holdfast: ${plainText(`${name} cannot be read: ${message}`)}`);
  }
}
