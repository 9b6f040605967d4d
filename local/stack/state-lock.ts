import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * One process at a time owns a state directory: its process id stands in the file `lock`. The lock of
 * a process that is gone is taken over.
 */
export async function acquireStateLock(stateDirectory: string): Promise<() => Promise<void>> {
  const file = join(stateDirectory, "lock");
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      await writeFile(file, String(process.pid), { flag: "wx" });
      return async () => rm(file, { force: true });
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    const owner = Number(await readFile(file, "utf8").catch(() => ""));
    if (isRunning(owner)) {
      throw new Error(`A stack runs on ${stateDirectory} already (process ${owner}).`);
    }
    await rm(file, { force: true });
  }
  throw new Error(`${file} comes back each time it is removed: another stack is starting there.`);
}

/** Whether a process with this id exists. */
export function isRunning(processId: number): boolean {
  if (!Number.isSafeInteger(processId) || processId <= 0) return false;
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
