import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** A process of a guest. */
export interface GuestProcess {
  readonly processId: number;
  readonly commandLine: string;
}

/** How long a process may take to end by itself after SIGTERM. */
export const terminationGraceMs = 2_000;
const pollIntervalMs = 50;
/** A guest that starts processes faster than they are killed is given up after this many rounds. */
const maxKillRounds = 200;

const hasProcessFileSystem = process.platform === "linux";

interface ProcessFacts {
  readonly processId: number;
  readonly parentId: number;
  readonly isMarked: boolean;
  readonly commandLine: string;
}

/**
 * Every process whose environment gives `variable` a value that is ours, and their descendants: a
 * daemon that left session and process group keeps its environment, a child that cleared its
 * environment keeps its parent. Only Linux tells the environment of others; elsewhere the answer
 * is empty and the caller falls back to process groups.
 */
export function findMarkedProcesses(
  isOurs: (marker: string) => boolean,
  variable: string,
): GuestProcess[] {
  if (!hasProcessFileSystem) return [];
  // Synchronous: these files live in memory, and hundreds of small asynchronous reads take far longer.
  const facts = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((processId) => processId !== process.pid)
    .map((processId) => readFacts(processId, isOurs, variable))
    .filter((found) => found !== undefined);
  return withDescendants(facts);
}

/**
 * Ends processes: SIGTERM, and SIGKILL for what is left after `graceMs`. `find` is asked again until
 * it finds nothing, so that what is started meanwhile is ended as well.
 * @returns false when processes are left that cannot be killed
 */
export async function endProcesses(
  find: () => readonly GuestProcess[],
  graceMs: number,
): Promise<boolean> {
  const terminated = new Set<number>();
  const deadline = performance.now() + graceMs;
  for (let round = 0; round < maxKillRounds;) {
    const found = find();
    if (found.length === 0) return true;
    const isLate = performance.now() >= deadline;
    if (isLate) round++;
    for (const { processId } of found) {
      if (isLate) sendSignal(processId, "SIGKILL");
      else if (!terminated.has(processId)) sendSignal(processId, "SIGTERM");
      terminated.add(processId);
    }
    await sleep(pollIntervalMs);
  }
  return false;
}

/** No error when the process or group is gone. */
export function sendSignal(processId: number, signal: NodeJS.Signals): void {
  try {
    process.kill(processId, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

function readFacts(
  processId: number,
  isOurs: (marker: string) => boolean,
  variable: string,
): ProcessFacts | undefined {
  try {
    const folder = `/proc/${processId}`;
    const stat = readFileSync(`${folder}/stat`, "utf8");
    // The name in parentheses may hold blanks and parentheses: the fields begin after the last one.
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state === "Z" || state === "X") return undefined;
    const environment = readEnvironment(folder);
    const prefix = `${variable}=`;
    const marker = environment.split("\0").find((entry) => entry.startsWith(prefix));
    const commandLine = readFileSync(`${folder}/cmdline`, "utf8");
    return {
      processId,
      parentId: Number(parent),
      isMarked: marker !== undefined && isOurs(marker.slice(prefix.length)),
      commandLine: commandLine.split("\0").join(" ").trim(),
    };
  } catch {
    // Gone while it was looked at.
    return undefined;
  }
}

/** Empty for a process of another user: a guest's processes are this user's. */
function readEnvironment(folder: string): string {
  try {
    return readFileSync(`${folder}/environ`, "utf8");
  } catch {
    return "";
  }
}

function withDescendants(facts: readonly ProcessFacts[]): GuestProcess[] {
  const children = Map.groupBy(facts, ({ parentId }) => parentId);
  const found = new Map<number, GuestProcess>();
  const pending = facts.filter(({ isMarked }) => isMarked);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (found.has(next.processId)) continue;
    const { processId, commandLine } = next;
    found.set(processId, { processId, commandLine });
    pending.push(...(children.get(processId) ?? []));
  }
  return [...found.values()].sort((one, other) => one.processId - other.processId);
}
