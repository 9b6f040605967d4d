import { readDiskPoint, readVmPoint } from "#core/repository/index.ts";
import { EXIT_CODES, type Command, type CommandContext, type ExitCode } from "../command-line.ts";
import { describeContent } from "../repository-content.ts";
import { diskConfigurationIn, nameIn } from "../restore-points.ts";
import { formatSize, formatTable } from "../table.ts";

/** `info`: what the repository is, or one restore point with the configuration of its VM. */
export const infoCommand: Command = {
  name: "info",
  usage: "[VM-ID POINT-ID] [--json]",
  summary: "Shows the repository, or one restore point with its VM's configuration.",
  details: [],
  options: {},
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
    ["Disks", String(content.diskCount)],
  ];
  terminal.print(lines.map(([name = "", value = ""]) => name.padEnd(16) + value).join("\n"));
  const slots = content.keySlots.map(({ slotId, type, isCurrent }) => [
    slotId,
    type,
    isCurrent ? "yes" : "no",
  ]);
  const slotColumns = [{ title: "KEY SLOT" }, { title: "TYPE" }, { title: "OPENS IT NOW" }];
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
  pointId: string,
): Promise<ExitCode> {
  const point = await readVmPoint(repository, vmId, pointId, signal);
  const disks = [];
  for (const { lun, sizeBytes, diskPoint } of point.disks) {
    const { diskId, sequence } = diskPoint;
    const { manifest } = await readDiskPoint(repository, diskId, sequence, signal);
    const name = nameIn(diskConfigurationIn(point.vm, diskId));
    const { kind, stats } = manifest;
    const { storedBytes } = stats;
    disks.push({ slot: lun, diskId, name, sizeBytes, kind, sequence, storedBytes });
  }
  const { takenAt, committedAt, vm } = point;
  if (options["json"] === true) {
    const shown = { vmId, pointId, takenAt, committedAt, disks, vm };
    terminal.print(JSON.stringify(shown, null, 2));
    return EXIT_CODES.ok;
  }
  terminal.print(`Restore point ${pointId} of VM ${vmId}`);
  terminal.print(`Taken ${takenAt}, complete ${committedAt}\n`);
  const rows = disks.map((disk) => [
    String(disk.slot),
    disk.diskId,
    disk.name,
    formatSize(disk.sizeBytes),
    disk.kind,
    formatSize(disk.storedBytes),
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
