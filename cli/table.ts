/** Text for people: aligned tables and sizes. */

export interface Column {
  readonly title: string;
  readonly align?: "right";
}

/** Columns as wide as their widest cell; numbers (`right`) end at the same place. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const lines = [columns.map(({ title }) => title), ...rows].map((row) => row.map(plainText));
  const widths = columns.map((_, index) =>
    lines.reduce((width, row) => Math.max(width, row[index]?.length ?? 0), 0),
  );
  return lines
    .map((row) =>
      columns
        .map(({ align }, index) => {
          const cell = row[index] ?? "";
          const width = widths[index] ?? 0;
          return align === "right" ? cell.padStart(width) : cell.padEnd(width);
        })
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Names come from elsewhere: nothing of them may steer the terminal. */
export function plainText(text: string): string {
  return text.replaceAll(/\p{C}/gu, "?");
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** e.g. `1.5 GiB` */
export function formatSize(sizeBytes: number): string {
  let value = sizeBytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 || Number.isInteger(value) ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}
