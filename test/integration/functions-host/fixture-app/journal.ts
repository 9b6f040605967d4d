import { appendFileSync } from "node:fs";

/** What the app did, for the test to read: one JSON line per side effect. */
export function journal(entry: Record<string, unknown>): void {
  const path = process.env["JOURNAL_FILE"];
  if (path !== undefined) appendFileSync(path, `${JSON.stringify(entry)}\n`);
}
