import { randomBytes } from "node:crypto";
import { checkRepository, type CheckReport } from "#core/repository/index.ts";
import { EXIT_CODES, textOf, type Command, type CommandContext } from "../command-line.ts";
import { formatSize, formatTable, plainText } from "../table.ts";
import { UsageError } from "../usage-error.ts";

const LEVELS = ["presence", "metadata", "sample", "complete"] as const;
const DEFAULT_SAMPLE_PERCENT = 5;
const SHOW_INTERVAL_MS = 500;

/** `check`: can what is there be restored? Writes nothing. Exit code 1 when it found something. */
export const checkCommand: Command = {
  name: "check",
  usage: "[--level presence|metadata|sample|complete] [--sample PERCENT] [--vm ID] [--json]",
  summary: "Looks whether everything can be read that restore points need.",
  details: [
    "",
    "--level LEVEL           presence of all objects; metadata: also every map; sample: also some",
    "                        blocks; complete: every block (default: metadata)",
    `--sample PERCENT        of the blocks, at level sample (default ${DEFAULT_SAMPLE_PERCENT})`,
    "--vm ID                 this VM only",
  ],
  options: { level: { type: "string" }, sample: { type: "string" }, vm: { type: "string" } },
  positionalCounts: [0],
  async run(context) {
    const { repository, options, terminal, signal } = context;
    const vmId = textOf(options, "vm");
    const { show, end } = progressOf(context);
    const level = levelOf(textOf(options, "level"), textOf(options, "sample"));
    const readsBlocks = level.level === "sample" || level.level === "complete";
    await using codec = readsBlocks ? context.startCodec() : undefined;
    let report: CheckReport;
    try {
      report = await checkRepository(
        repository,
        {
          ...level,
          ...(codec !== undefined && { codec }),
          ...(vmId !== undefined && { vmIds: [vmId] }),
          random: (byteCount) => randomBytes(byteCount),
          onProgress: show,
        },
        signal,
      );
    } finally {
      end();
    }
    if (options["json"] === true) terminal.print(JSON.stringify(report, null, 2));
    else printReport(context, report);
    return report.findingCount === 0 ? EXIT_CODES.ok : EXIT_CODES.findings;
  },
};

function levelOf(name: string | undefined, sample: string | undefined) {
  const wanted = name ?? (sample === undefined ? "metadata" : "sample");
  const level = LEVELS.find((each) => each === wanted);
  if (level === undefined) throw new UsageError(`--level takes one of ${LEVELS.join(", ")}.`);
  if (sample !== undefined && level !== "sample") {
    throw new UsageError("--sample goes with --level sample only.");
  }
  const samplePercent = sample === undefined ? DEFAULT_SAMPLE_PERCENT : Number(sample);
  if (samplePercent > 0 && samplePercent <= 100) return { level, samplePercent };
  throw new UsageError(`--sample takes a number above 0 and up to 100, not "${sample}".`);
}

function progressOf({ terminal }: CommandContext) {
  let shownMs = 0;
  const show = ({
    checkedObjects,
    readBytes,
  }: Pick<CheckReport, "checkedObjects" | "readBytes">) => {
    if (performance.now() - shownMs < SHOW_INTERVAL_MS) return;
    shownMs = performance.now();
    terminal.showProgress?.(`${checkedObjects} objects, ${formatSize(readBytes)} read`);
  };
  const end = (): void => {
    if (shownMs > 0) terminal.showProgress?.("");
  };
  return { show, end };
}

function affectedNames(
  points: readonly { readonly vmId: string; readonly pointId: string }[],
  archives: readonly { readonly vmId: string; readonly archiveId: string }[],
): string {
  const ofPoints = points.map(({ vmId, pointId }) => `${vmId}/${pointId}`);
  const ofArchives = archives.map(({ vmId, archiveId }) => `${vmId}/${archiveId} (archive)`);
  return [...ofPoints, ...ofArchives].join(" ");
}

function printReport({ terminal }: CommandContext, report: CheckReport): void {
  const { level, checkedObjects, checkedPoints, verifiedBlocks, readBytes } = report;
  terminal.print(
    `Checked ${checkedObjects} objects and ${checkedPoints} points at level ${level}, ` +
      `verified ${verifiedBlocks} blocks, read ${formatSize(readBytes)}.`,
  );
  if (report.findingCount === 0) {
    terminal.print("No findings.");
    return;
  }
  const rows = report.findings.map(
    ({ kind, object, blocks, affectedPoints, affectedArchives = [] }) => [
      kind,
      object,
      blocks === undefined ? "" : `${blocks.first}-${blocks.first + blocks.count - 1}`,
      affectedNames(affectedPoints, affectedArchives) || "none",
    ],
  );
  const columns = [
    { title: "FINDING" },
    { title: "OBJECT" },
    { title: "BLOCKS" },
    { title: "POINTS THAT CANNOT BE RESTORED COMPLETELY" },
  ];
  terminal.print(`\n${formatTable(columns, rows)}\n`);
  for (const { object, message } of report.findings) {
    terminal.print(plainText(`${object}: ${message}`));
  }
  const omitted = report.findingCount - report.findings.length;
  terminal.print(`${report.findingCount} findings${omitted > 0 ? `, ${omitted} not shown` : ""}.`);
}
