import { EXIT_CODES, type Command, type CommandContext, type ExitCode } from "../command-line.ts";
import { describeContent } from "../repository-content.ts";
import { readRestorable, readStoredDisks } from "../restore-points.ts";
import { formatSize, formatTable, plainText } from "../table.ts";
import { diskNameIn, vmNameIn } from "../vm-names.ts";

/** `info`: what the repository is, or one restore point with the configuration of its VM. */
export const infoCommand: Command = {
  name: "info",
  usage: "[VM-ID POINT-ID [--archive]] [--json]",
  summary: "Shows the repository, or one restore point with its VM's configuration.",
  details: ["", "--archive               POINT-ID is the id of an archive"],
  options: { archive: { type: "boolean" } },
  positionalCounts: [0, 2],
  async run(context) {
    const [vmId, pointId] = context.positionals;
    if (vmId === undefined || pointId === undefined) return showRepository(context);
    return showPoint(context, vmId, pointId);
  },
};

async function showRepository(context: CommandContext): Promise<ExitCode> {
  const { repository, options, terminal, signal } = context;
  const { descriptor } = repository;
  const { repositoryId, formatVersion, createdAt, encryption, features } = descriptor;
  const content = await describeContent(repository, signal);
  if (options["json"] === true) {
    const about = { repositoryId, formatVersion, createdAt, encryption, features };
    terminal.print(JSON.stringify({ ...about, ...content }, null, 2));
    return EXIT_CODES.ok;
  }
  const lines = [
    ["Repository", repositoryId],
    ["Format", String(formatVersion)],
    ["Created", createdAt],
    ["Encryption", encryption],
    ["VMs", String(content.vmCount)],
    ["Restore points", String(content.pointCount)],
    ["Archives", String(content.archiveCount)],
    ["Disks", String(content.diskCount)],
  ];
  terminal.print(lines.map(([name = "", value = ""]) => name.padEnd(16) + value).join("\n"));
  const slots = content.keySlots.map(({ slotId, type }) => [slotId, type]);
  const slotColumns = [{ title: "KEY SLOT" }, { title: "TYPE" }];
  terminal.print(`\n${formatTable(slotColumns, slots)}`);
  const objects = content.objects.map(({ kind, count, sizeBytes }) => [
    kind,
    String(count),
    formatSize(sizeBytes),
  ]);
  const objectColumns = [
    { title: "OBJECTS" },
    { title: "COUNT", align: "right" },
    { title: "SIZE", align: "right" },
  ] as const;
  terminal.print(`\n${formatTable(objectColumns, objects)}`);
  return EXIT_CODES.ok;
}

async function showPoint(
  { repository, options, terminal, signal }: CommandContext,
  vmId: string,
  id: string,
): Promise<ExitCode> {
  const kind = options["archive"] === true ? "archive" : "point";
  const restorable = await readRestorable(repository, { kind, vmId, id }, signal);
  const { vm, takenAt, completeAt } = restorable;
  const stored = await readStoredDisks(repository, restorable, signal);
  const disks = stored.map((disk) => ({ ...disk, name: diskNameIn(vm, disk.diskId) }));
  if (options["json"] === true) {
    terminal.print(JSON.stringify({ ...restorable, disks }, null, 2));
    return EXIT_CODES.ok;
  }
  const what = kind === "point" ? "Restore point" : "Archive";
  terminal.print(plainText(`${what} ${id} of VM ${vmId}, ${vmNameIn(vm)}`));
  terminal.print(`Taken ${takenAt}, complete ${completeAt}\n`);
  const rows = disks.map(({ slot, diskId, name, sizeBytes, backup, storedBytes }) => [
    String(slot),
    diskId,
    name,
    formatSize(sizeBytes),
    backup,
    formatSize(storedBytes),
  ]);
  const columns = [
    { title: "SLOT" },
    { title: "DISK ID" },
    { title: "NAME" },
    { title: "SIZE", align: "right" },
    { title: "BACKUP" },
    { title: "STORED", align: "right" },
  ] as const;
  terminal.print(formatTable(columns, rows));
  terminal.print(`\nConfiguration of the VM:\n${JSON.stringify(vm, null, 2)}`);
  return EXIT_CODES.ok;
}
