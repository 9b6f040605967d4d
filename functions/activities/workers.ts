import { HoldfastError } from "#core/lib/errors.ts";
import { CONTROL_PLANE_TAG } from "#core/backup/snapshot-tags.ts";
import { failureOf, redact } from "#core/model/outcome.ts";
import { RESOURCE_TYPES, resourceId } from "#core/model/resource-id.ts";
import type { WorkerRecord } from "#core/model/worker-record.ts";
import type { ProvisioningState } from "#core/ports/compute.ts";
import { STAGING_CONTAINER } from "#core/ports/staging.ts";
import { deriveWorkerSecret } from "#core/protocol/event-authentication.ts";
import type { AgentSettings } from "#core/protocol/agent-settings.ts";
import {
  INSTALL_SCRIPT,
  INSTALL_TIMEOUT_SECONDS,
  installParametersOf,
  installSecretsOf,
} from "#core/workers/install-script.ts";
import { chooseWorkerProfile, isWithoutRoom, jobFactsOf } from "#core/workers/choose-worker.ts";
import { fillTags } from "#core/workers/worker-tags.ts";
import { readWorkerConfiguration } from "../worker-configurations.ts";
import type { Readiness } from "./activity-contract.ts";
import { defineActivity } from "./define-activity.ts";
import { noteState } from "./resting-workers.ts";
import { getRunningSession } from "./running-session.ts";
import { requireThere } from "./worker-vm-state.ts";

/** The life of a worker VM, from its record to its removal. */
const RUN_COMMAND_NAME = "holdfast-install";

/** A Run Command runs once: each start of the worker has its own. */
function installName(generation: number): string {
  return generation === 1 ? RUN_COMMAND_NAME : `${RUN_COMMAND_NAME}-${generation}`;
}

/** Queue that workers send their events to, in the control plane's own account. */
export const EVENT_QUEUE = "worker-events";

export const chooseWorker = defineActivity("choose-worker", async (context, input) => {
  const { jobId, location, evictions } = input;
  const { spec } = await context.records.jobs.get(jobId);
  const configuration = await readWorkerConfiguration(context, location);
  const choice = chooseWorkerProfile(jobFactsOf(spec, evictions), configuration);
  return { ...choice, maximum: configuration.maximum };
});

/** Again for the same worker when it is launched in another size: nothing of it exists then. */
export const registerWorker = defineActivity("register-worker", async (context, input) => {
  const { config, records, clock, events } = context;
  const { workerId, location, sessionId, profile, option } = input;
  const region = await records.regions.get(location);
  const configuration = await readWorkerConfiguration(context, location);
  const session = await getRunningSession(context, sessionId);
  const { resourceGroupId: group, securityUpdates, diskEncryptionSetId } = configuration;
  const filled = fillTags(configuration.tags, {
    region: location,
    session: sessionId,
    policy: session.policyId ?? "",
    worker: workerId,
    profile,
  });
  const now = clock().toISOString();
  await records.workers.insert(workerId, {
    workerId,
    location,
    state: "creating",
    stateAt: now,
    profile,
    launch: {
      ...option,
      image: configuration.image,
      ...(diskEncryptionSetId === undefined ? {} : { diskEncryptionSetId }),
      tags: { ...filled, [CONTROL_PLANE_TAG]: config.controlPlaneId },
      ...(securityUpdates.kind === "off" ? {} : { updateMirrorUrl: securityUpdates.url }),
    },
    generation: 1,
    vmResourceId: resourceId(group, RESOURCE_TYPES.virtualMachine, workerId),
    nicId: resourceId(group, RESOURCE_TYPES.networkInterface, `${workerId}-nic`),
    queueName: `jobs-${workerId}`,
    queueServiceUrl: region.queueServiceUrl,
    blobServiceUrl: region.blobServiceUrl,
    createdAt: now,
  });
  events.workerRegistered({ workerId, location });
  return {};
});

export const startWorkerNic = defineActivity("start-worker-nic", async (context, { workerId }) => {
  const worker = await context.records.workers.get(workerId);
  const region = await context.records.regions.get(worker.location);
  await context.compute.startNic({
    nicId: worker.nicId,
    location: worker.location,
    subnetId: region.subnetId,
    enableAcceleratedNetworking: true,
    tags: worker.launch.tags,
  });
  return {};
});

/** Readiness of something that is being made; `undefined` means that Azure does not show it yet. */
export function readinessOf(
  state: { readonly provisioning: ProvisioningState } | undefined,
  what: string,
): Readiness {
  if (state?.provisioning === "failed")
    throw new HoldfastError("ProvisioningFailed", `Azure could not make ${what}.`, {
      retry: "backoff",
    });
  return state?.provisioning === "succeeded" ? { ready: true } : { ready: false, waitingFor: what };
}

export const readWorkerNic = defineActivity("read-worker-nic", async (context, { workerId }) => {
  const { nicId } = await context.records.workers.get(workerId);
  return readinessOf(await context.compute.readNicProvisioning(nicId), nicId);
});

export const startWorkerVm = defineActivity("start-worker-vm", async (context, { workerId }) => {
  const { config, compute, records } = context;
  const { vmResourceId, nicId, location, launch } = await records.workers.get(workerId);
  const { updateMirrorUrl: _url, ...asked } = launch;
  try {
    await compute.startWorkerVm({
      ...asked,
      vmResourceId,
      nicId,
      location,
      identityResourceId: config.worker.identityResourceId,
    });
    return {};
  } catch (error) {
    const failure = failureOf(error).error;
    if (isWithoutRoom(failure)) return { noRoom: failure.message };
    throw error;
  }
});

export const readWorkerVm = defineActivity("read-worker-vm", async (context, { workerId }) => {
  const { vmResourceId } = await context.records.workers.get(workerId);
  const vm = await context.compute.readWorkerVm(vmResourceId);
  if (vm?.failureCode !== undefined)
    throw new HoldfastError(vm.failureCode, `Azure could not make or start ${vmResourceId}.`);
  const readiness = readinessOf(vm, vmResourceId);
  // A VM that is started again was provisioned long ago.
  const isUp = vm?.power === "running" || vm?.power === "unknown";
  return readiness.ready && !isUp ? { ready: false, waitingFor: vmResourceId } : readiness;
});

/** Service endpoints come with or without a slash at their end. */
export function join(serviceUrl: string, name: string): string {
  return `${serviceUrl.replace(/\/+$/, "")}/${name}`;
}

export const installAgent = defineActivity(
  "install-agent",
  async (context, { workerId }, signal) => {
    const { config, compute, staging, records, agentBundle } = context;
    const worker = await records.workers.get(workerId);
    const bundle = await agentBundle.describe();
    await staging.ensureQueue(worker.queueServiceUrl, worker.queueName);
    const bundleUrl = await staging.ensureBundle(
      worker.blobServiceUrl,
      bundle,
      () => agentBundle.read(),
      INSTALL_TIMEOUT_SECONDS * 2,
      signal,
    );
    const { generation, launch } = worker;
    const secret = deriveWorkerSecret(config.masterKey, workerId, generation);
    const settings = {
      HOLDFAST_WORKER_ID: workerId,
      HOLDFAST_WORKER_CLIENT_ID: config.worker.clientId,
      HOLDFAST_JOB_QUEUE_URL: join(worker.queueServiceUrl, worker.queueName),
      HOLDFAST_EVENT_QUEUE_URL: join(config.queueServiceUrl, EVENT_QUEUE),
      HOLDFAST_JOB_CONTAINER_URL: join(worker.blobServiceUrl, STAGING_CONTAINER),
      HOLDFAST_HEARTBEAT_SECONDS: String(config.worker.heartbeatSeconds),
    } satisfies Record<Exclude<keyof AgentSettings, "HOLDFAST_WORKER_SECRET">, string>;
    await compute.startRunCommand({
      vmResourceId: worker.vmResourceId,
      name: installName(generation),
      location: worker.location,
      script: INSTALL_SCRIPT,
      parameters: installParametersOf({
        bundle,
        settings,
        updateMirrorUrl: launch.updateMirrorUrl,
      }),
      protectedParameters: installSecretsOf({
        bundleUrl,
        workerSecret: Buffer.from(secret).toString("base64url"),
      }),
      timeoutSeconds: INSTALL_TIMEOUT_SECONDS,
    });
    await noteState(context, workerId, "enrolling");
    return {};
  },
);

export const readInstall = defineActivity("read-install", async (context, { workerId }) => {
  const worker = await context.records.workers.get(workerId);
  const name = installName(worker.generation);
  const state = await context.compute.readRunCommand(worker.vmResourceId, name);
  switch (state?.executionState) {
    case "Succeeded":
      if ((state.exitCode ?? 0) === 0) return { ready: true };
      break;
    case undefined:
    case "Pending":
    case "Running":
      await requireThere(context, worker);
      return { ready: false, waitingFor: "installation of the agent" };
    case "Failed":
    case "TimedOut":
    case "Canceled":
      break;
  }
  throw new HoldfastError(
    "InstallFailed",
    `The agent could not be installed on ${workerId} (${state.executionState}, exit code ${
      state.exitCode ?? "unknown"
    }): ${redact(state.error.trim() || state.output.trim())}`,
    { retry: "backoff" },
  );
});

/** Enrolled: the worker's agent has sent the key that jobs are sealed to. */
export const readWorker = defineActivity("read-worker", async (context, { workerId }) => {
  const worker = await context.records.workers.get(workerId);
  if (worker.publicKey !== undefined) return { ready: true };
  await requireThere(context, worker);
  return { ready: false, waitingFor: "enrolment of the agent" };
});

export const startWorkerRemoval = defineActivity(
  "start-worker-removal",
  async (context, { workerId, state, reason }) => {
    const stateAt = context.clock().toISOString();
    const worker = await context.records.workers.update(workerId, (before) =>
      before.state === state
        ? undefined
        : { ...before, state, stateAt, ...(reason === undefined ? {} : { reason }) },
    );
    if (worker !== undefined) await context.compute.startDeleteVm(worker.vmResourceId);
    return {};
  },
);

/** When the VM is gone: its NIC, its queue and, last, its record. */
export const finishWorkerRemoval = defineActivity(
  "finish-worker-removal",
  async (context, { workerId }) => {
    const { compute, records, staging, events } = context;
    const worker: WorkerRecord | undefined = (await records.workers.read(workerId))?.value;
    if (worker === undefined) return { ready: true };
    const waitingFor = `deletion of ${workerId}`;
    if ((await compute.readVmProvisioning(worker.vmResourceId)) !== undefined)
      return { ready: false, waitingFor };
    if ((await compute.readNicProvisioning(worker.nicId)) !== undefined) {
      // A VM takes its NIC with it; one that was never made left it behind.
      await compute.startDeleteNic(worker.nicId);
      return { ready: false, waitingFor };
    }
    await staging.deleteQueue(worker.queueServiceUrl, worker.queueName);
    await staging.deleteJobBlobs(worker.blobServiceUrl, jobBlobPrefix(workerId));
    await records.workers.delete(workerId);
    events.workerRemoved({ workerId });
    return { ready: true };
  },
);

/** Folder of a worker's large jobs in the staging container. */
export function jobBlobPrefix(workerId: string): string {
  return `jobs/${workerId}/`;
}
