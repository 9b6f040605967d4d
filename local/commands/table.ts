/** Text tables and sizes for people. */

/** Columns as wide as their widest cell; numbers (`right`) end at the same place. */
export function formatTable(
  columns: readonly { readonly title: string; readonly align?: "right" }[],
  rows: readonly (readonly string[])[],
): string {
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...rows.map((row) => (row[index] ?? "").length)),
  );
  const lines = [columns.map(({ title }) => title), ...rows].map((cells) =>
    columns
      .map(({ align }, index) => {
        const cell = cells[index] ?? "";
        const width = widths[index] ?? 0;
        return align === "right" ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd(),
  );
  return lines.join("\n");
}

const units = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** e.g. `1.5 GiB` */
export function formatSize(sizeBytes: number): string {
  let value = sizeBytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 || Number.isInteger(value) ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** e.g. `12.5 MiB/s`; always MiB, so that rates compare at a glance. */
export function formatRate(bytesPerSecond: number): string {
  const mibPerSecond = bytesPerSecond / 1024 ** 2;
  return `${mibPerSecond.toFixed(mibPerSecond >= 100 ? 0 : 1)} MiB/s`;
}
