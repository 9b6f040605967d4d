import type { RestorePoint } from "#core/model/restore-point.ts";
import { formatRate, formatSize, formatTable } from "#local/commands/table.ts";

/** A table with one row for each disk of each restore point; the rate is that of reading. */
export function describePoints(points: readonly Pick<RestorePoint, "vmName" | "disks">[]): string {
  const right = { align: "right" } as const;
  const columns = [
    { title: "VM" },
    { title: "DISK" },
    { title: "SIZE", ...right },
    { title: "BACKUP" },
    { title: "READ", ...right },
    { title: "STORED", ...right },
    { title: "TIME", ...right },
    { title: "RATE", ...right },
  ];
  const rows = points.flatMap(({ vmName, disks }) =>
    disks.map((disk) => [
      vmName,
      disk.name,
      formatSize(disk.sizeBytes),
      disk.kind,
      formatSize(disk.readBytes),
      formatSize(disk.storedBytes),
      `${(disk.durationMs / 1000).toFixed(1)} s`,
      disk.durationMs === 0 ? "" : formatRate((disk.readBytes * 1000) / disk.durationMs),
    ]),
  );
  return formatTable(columns, rows);
}
