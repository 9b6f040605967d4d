import { readFile } from "node:fs/promises";
import type { TestStack } from "./test-stack.ts";

const pollMs = 300;

export interface MemoryWatch {
  /** Highest resident memory that any agent process had so far, bytes. */
  peakBytes(): Promise<number>;
  stop(): Promise<number>;
}

/** Watches the agents of all workers until stopped: VmHWM, the kernel's own count (man 5 proc). */
export function watchWorkerMemory({ stack }: TestStack): MemoryWatch {
  let peakBytes = 0;
  const look = async (): Promise<number> => {
    for (const vm of await stack.estate.listVms()) {
      for (const { processId, commandLine } of await stack.cloud.vmHost.listProcesses(vm.vmId)) {
        if (!commandLine.includes("agent.mjs")) continue;
        const status = await readFile(`/proc/${processId}/status`, "utf8").catch(() => "");
        const kib = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0);
        peakBytes = Math.max(peakBytes, kib * 1024);
      }
    }
    return peakBytes;
  };
  const end = new AbortController();
  const watch = async (): Promise<void> => {
    while (!end.signal.aborted) {
      await look();
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  };
  const watching = watch();
  return {
    peakBytes: look,
    async stop() {
      end.abort();
      await watching;
      return peakBytes;
    },
  };
}
