import { randomBytes } from "node:crypto";
import { createDiskData } from "#azure/disk/disk-data.ts";
import { createDiskTokens } from "#azure/disk/disk-token.ts";
import { createCredential } from "#azure/identity/credential.ts";
import { createKeyWrapper } from "#azure/keyvault/key-wrapper.ts";
import { createProbeNetwork } from "#azure/storage/probe-network.ts";
import { createRepositoryStore } from "#azure/storage/repository-store.ts";
import { createWorkerChannel } from "#azure/storage/worker-channel.ts";
import { systemClock } from "./clock.ts";
import type { AgentConfig } from "./config.ts";
import { DataMover } from "./data-mover/data-mover.ts";
import { EventSender } from "./event-sender.ts";
import { createAgentEvents } from "./events.ts";
import type { JobTools } from "./jobs/job-tools.ts";
import { runJob } from "./jobs/run-job.ts";
import type { Agent } from "./run-loop.ts";

/** The composition root: the only file of the agent that knows which adapters there are. */
export function createAgent(config: AgentConfig, agentVersion: string): Agent {
  const clock = systemClock;
  const credential = createCredential({ clientId: config.identityClientId });
  const channel = createWorkerChannel({ credential, ...config });
  const events = createAgentEvents({
    workerId: config.workerId,
    now: () => clock.now(),
    writeLine: (line) => process.stdout.write(`${line}\n`),
  });
  const sender = new EventSender({ ...config, channel, clock, events });
  const tools: JobTools = {
    openStore: (target) => createRepositoryStore(credential, target),
    diskData: createDiskData({ readToken: createDiskTokens(credential) }),
    startMover: (diskCount) => new DataMover({ diskCount }),
    sendEvent: async (body, signal) => {
      if (!(await sender.sendUntilAccepted(body, signal))) signal.throwIfAborted();
    },
    keyVault: createKeyWrapper({ credential }),
    probeNetwork: createProbeNetwork(credential),
    random: (byteCount) => randomBytes(byteCount),
    clock,
  };
  return {
    workerId: config.workerId,
    agentVersion,
    heartbeatMs: config.heartbeatMs,
    channel,
    sender,
    events,
    clock,
    memoryBytes: () => process.memoryUsage.rss(),
    runJob: (job, board, signal) => runJob(tools, job, board, signal),
  };
}
