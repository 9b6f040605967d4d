import { z } from "zod";
import { sessionSchema } from "#core/model/session.ts";
import { diskProgressSchema } from "#core/protocol/worker-event.ts";
import { formatRate, formatSize } from "#local/commands/table.ts";
import type { ApiClient } from "#local/stack/api-client.ts";
import { ReadRates } from "./read-rates.ts";

/** Sessions as the API shows them, watched until they end. */
export const shownSessionSchema = sessionSchema.extend({
  /** The name is a disk's, or for a restore the target's resource id. */
  progress: z.array(diskProgressSchema.extend({ name: z.string() })).optional(),
});
export type ShownSession = z.infer<typeof shownSessionSchema>;

/** Each look is half a dozen requests to storage, which the work itself waits for. */
const pollMs = 1000;

export interface WatchOptions {
  readonly api: ApiClient;
  readonly timeoutMs: number;
  readonly onProgress?: (line: string) => void;
  /** As `onProgress`, while nothing happens yet. */
  readonly onWaiting?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Waits for the first session that `isWanted` and was started at `since` or later. */
export async function waitForSession(
  isWanted: (session: ShownSession) => boolean,
  options: WatchOptions & { readonly waitingFor: string },
): Promise<ShownSession> {
  const startedMs = performance.now();
  for (;;) {
    const sessions = await options.api.list("/sessions", shownSessionSchema);
    const found = sessions.find(isWanted);
    if (found !== undefined) return found;
    const waitedMs = performance.now() - startedMs;
    if (waitedMs > options.timeoutMs) throw new Error(`There is no ${options.waitingFor}.`);
    options.onWaiting?.(`  waiting for ${options.waitingFor} (${Math.round(waitedMs / 1000)} s)`);
    await pause(options.signal);
  }
}

/** Waits for the end of a session; a session that did not succeed is an error with its reason. */
export async function waitForEnd(sessionId: string, options: WatchOptions): Promise<ShownSession> {
  const deadlineMs = performance.now() + options.timeoutMs;
  const rates = new ReadRates(() => performance.now());
  for (;;) {
    const session = await readSession(options.api, sessionId);
    if (session.state !== "running") {
      if (session.state === "succeeded") return session;
      throw new Error(`Session ${sessionId} ${session.state}: ${session.reason ?? "no reason"}`);
    }
    if (performance.now() > deadlineMs) throw new Error(`Session ${sessionId} does not end.`);
    if (options.onProgress !== undefined) {
      options.onProgress(await describeProgress(options.api, session, rates));
    }
    await pause(options.signal);
  }
}

export async function readSession(api: ApiClient, sessionId: string): Promise<ShownSession> {
  return api.call("GET", `/sessions/${encodeURIComponent(sessionId)}`, {
    answer: shownSessionSchema,
  });
}

/** Sessions that a policy's session started. */
export async function childrenOf(api: ApiClient, sessionId: string): Promise<ShownSession[]> {
  const sessions = await api.list("/sessions", shownSessionSchema);
  return sessions.filter(({ parentSessionId }) => parentSessionId === sessionId);
}

/** One line for a session and, for a policy's, for all that it started. */
async function describeProgress(
  api: ApiClient,
  session: ShownSession,
  rates: ReadRates,
): Promise<string> {
  const parts = session.type === "policy" ? await childrenOf(api, session.sessionId) : [session];
  const shown = await Promise.all(parts.map((part) => readSession(api, part.sessionId)));
  if (shown.length === 0) return "  starting";
  return `  ${shown.map((part) => describeOne(part, rates)).join("   ")}`;
}

function describeOne({ vmName, state, progress }: ShownSession, rates: ReadRates): string {
  const vm = vmName ?? "restore";
  if (state !== "running") return `${vm} ${state}`;
  if (progress === undefined || progress.length === 0) return `${vm} preparing`;
  const sum = (field: "doneBytes" | "totalBytes" | "readBytes") =>
    progress.reduce((total, disk) => total + disk[field], 0);
  const share = Math.floor((100 * sum("doneBytes")) / Math.max(1, sum("totalBytes")));
  const perDisk = progress.map(({ diskId, name, readBytes }) => {
    const own = name.slice(name.lastIndexOf("/") + 1);
    const short = own.startsWith(`${vm}-`) ? own.slice(vm.length + 1) : own;
    const bytesPerSecond = rates.note(diskId, readBytes);
    return bytesPerSecond === undefined ? short : `${short} ${formatRate(bytesPerSecond)}`;
  });
  return `${vm} ${share} % (${formatSize(sum("readBytes"))} read; ${perDisk.join(", ")})`;
}

async function pause(signal: AbortSignal | undefined): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, pollMs));
  signal?.throwIfAborted();
}
