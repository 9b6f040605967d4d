import { HoldfastError } from "#core/lib/errors.ts";
import { agentSettingsSchema } from "#core/protocol/agent-settings.ts";

export interface AgentConfig {
  readonly workerId: string;
  /** Signs every event; shared with the control plane alone. */
  readonly workerSecret: Uint8Array;
  readonly identityClientId: string;
  readonly jobQueueUrl: string;
  readonly eventQueueUrl: string;
  readonly jobContainerUrl: string;
  readonly heartbeatMs: number;
}

/** `deriveWorkerSecret` makes 32 bytes. */
const SECRET_BYTES = 32;

/** Reads the agent's settings. Throws `HoldfastError` code `InvalidSettings`, never showing a value. */
export function parseAgentConfig(env: Readonly<Record<string, string | undefined>>): AgentConfig {
  const parsed = agentSettingsSchema.safeParse(env);
  if (!parsed.success) {
    const names = parsed.error.issues.map((issue) => issue.path.join("."));
    throw invalid(`missing or malformed: ${[...new Set(names)].join(", ")}`);
  }
  const settings = parsed.data;
  const workerSecret = Buffer.from(settings.HOLDFAST_WORKER_SECRET, "base64url");
  if (workerSecret.length !== SECRET_BYTES) {
    throw invalid(`HOLDFAST_WORKER_SECRET is not base64url of ${SECRET_BYTES} bytes`);
  }
  return {
    workerId: settings.HOLDFAST_WORKER_ID,
    workerSecret,
    identityClientId: settings.HOLDFAST_WORKER_CLIENT_ID,
    jobQueueUrl: settings.HOLDFAST_JOB_QUEUE_URL,
    eventQueueUrl: settings.HOLDFAST_EVENT_QUEUE_URL,
    jobContainerUrl: settings.HOLDFAST_JOB_CONTAINER_URL,
    heartbeatMs: settings.HOLDFAST_HEARTBEAT_SECONDS * 1000,
  };
}

function invalid(why: string): HoldfastError {
  return new HoldfastError(
    "InvalidSettings",
    `The worker agent's settings are wrong (${why}). They come from the install script.`,
  );
}
