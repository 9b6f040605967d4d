/**
 * Managed run commands: resources below a VM, each with one script that runs once per PUT.
 *
 * A *run* is one execution; its id is kept with the resource, so that the work finds a run again that
 * went on while the simulator was down. Protected parameters wait in memory between PUT and start and
 * are nowhere else. The *instance view* is what the VM's agent last reported.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ScriptRun } from "#local/vm-host/script-run.ts";
import { ArmError } from "../arm-error.ts";
import { isJsonObject, objectAt, stringAt, withoutUndefined, type JsonObject } from "../json.ts";
import type {
  PutRequest,
  RequestContext,
  Resource,
  ResourceType,
  WorkContext,
  WriteOutcome,
} from "../provider.ts";
import { formatResourceId, idKey, parentIdOf, parseResourceId } from "../resource-id.ts";
import { computeApiVersions, type ComputeServices } from "./compute-services.ts";
import { parseRunCommandBody } from "./run-command-body.ts";
import { vmWriteBucket } from "./vm-limits.ts";
import { findVmSize } from "./vm-sizes.ts";
import { hasGuest, powerStateOf, updateInternal, vmIdOf } from "./vm-state.ts";

/** How often the instance view of a running script is brought up to date; the real agent: 30 s. */
const reportIntervalMs = 500;

export function runCommands(services: ComputeServices): ResourceType {
  return {
    type: "virtualMachines/runCommands",
    apiVersions: computeApiVersions,
    tracked: true,
    put: (request) => putRunCommand(services, request),
    remove: ({ existing }) => ({
      kind: "accepted",
      work: { name: "delete", style: "both", input: { runId: runIdOf(existing) } },
    }),
    show: (resource, _context, expand) => showRunCommand(resource, expand),
    buckets: ({ method, id }) => (method === "GET" ? [] : [vmWriteBucket(vmIdOfChild(id))]),
    work: {
      run: async (context) => run(services, context),
      delete: async (context) => cancel(services, context),
    },
  };
}

async function putRunCommand(
  services: ComputeServices,
  request: PutRequest,
): Promise<WriteOutcome> {
  const command = parseRunCommandBody(request.body);
  requireHandler(requireRunningGuest(request, vmIdOfChild(request.id)));
  const runId = request.newGuid();
  services.protectedParameters.set(runId, command.protectedParameters ?? []);
  const {
    protectedParameters: _,
    instanceView: __,
    ...properties
  } = objectAt(request.body, "properties");
  return {
    kind: "accepted",
    content: {
      body: { ...request.body, properties },
      internal: { runId, view: { executionState: "Pending" } },
    },
    work: {
      name: "run",
      style: "azureAsyncOperation",
      input: { runId, hasProtectedParameters: command.protectedParameters !== undefined },
    },
  };
}

/** Managed run commands are an extension, which Azure has for x64 only. */
function requireHandler(vm: Resource): void {
  const profile = objectAt(objectAt(vm.body, "properties"), "hardwareProfile");
  if (findVmSize(stringAt(profile, "vmSize") ?? "").architecture !== "Arm64") return;
  throw new ArmError(
    404,
    "ExtensionNotFoundForCPUArchitecture",
    "Extension with publisher 'Microsoft.CPlat.Core', type 'RunCommandHandlerLinux', and type handler version '1.3' for CPU Architecture 'arm64' was not found in the extension repository.",
  );
}

/** The VM above: running, made from an image, and with no operation of its own. */
export function requireRunningGuest(request: RequestContext, vmId: string): Resource {
  const vm = request.resources.get(vmId);
  if (vm === undefined) {
    throw new ArmError(
      404,
      "ParentResourceNotFound",
      `Failed to perform operation on nested resource. The parent resource '${vmId}' could not be found.`,
    );
  }
  if (request.isBusy(vmId) && powerStateOf(vm) !== "running") throw notRunning(vm);
  if (powerStateOf(vm) !== "running") throw notRunning(vm);
  if (!hasGuest(vm)) {
    throw new ArmError(
      409,
      "OperationNotAllowed",
      `This operation cannot be performed when extension operations are disallowed: no VM agent reports from '${vm.name}'.`,
    );
  }
  return vm;
}

function notRunning(vm: Resource): ArmError {
  return new ArmError(
    409,
    "OperationNotAllowed",
    `Cannot modify extensions in the VM when the VM is not running. VM: ${vm.name}`,
  );
}

async function run(services: ComputeServices, context: WorkContext): Promise<void> {
  const runId = stringAt(context.input, "runId") ?? "";
  const resource = context.current();
  const vm = context.resources.get(vmIdOfChild(context.id));
  if (resource === undefined || vm === undefined) return;
  const script = await startOrAdopt(services, context, { runId, resource, vm });
  if (script === undefined) {
    const view = { executionState: "Failed", executionMessage: "The VM agent lost the command." };
    updateInternal(context.resources, context.id, { view });
    return;
  }
  const followed = follow(context, { runId, script });
  const properties = objectAt(resource.body, "properties");
  if (properties["asyncExecution"] === true) {
    // Goes on after the operation: it only writes the view of a resource that may be gone.
    followed.catch(() => undefined);
    return;
  }
  const state = await followed;
  // The simulator stops: the operation runs again after the next start and finds the script again.
  context.signal.throwIfAborted();
  if (properties["treatFailureAsDeploymentFailure"] === true && state !== "Succeeded") {
    throw new ArmError(
      409,
      "VMExtensionProvisioningError",
      `VM has reported a failure when processing run command '${resource.name}'. Execution state: ${state}.`,
    );
  }
}

async function startOrAdopt(
  services: ComputeServices,
  context: WorkContext,
  started: { runId: string; resource: Resource; vm: Resource },
): Promise<ScriptRun | undefined> {
  const { runId, resource, vm } = started;
  const adopted = await services.host.adoptScript(vmIdOf(vm), runId);
  if (adopted !== undefined) return adopted;
  const protectedParameters = services.protectedParameters.get(runId);
  services.protectedParameters.delete(runId);
  // Lost with the simulator that took the PUT.
  if (protectedParameters === undefined && context.input["hasProtectedParameters"] === true) {
    return undefined;
  }
  const command = parseRunCommandBody(resource.body);
  return services.host.startScript({
    vmId: vmIdOf(vm),
    runId,
    script: command.script,
    parameters: command.parameters ?? [],
    protectedParameters: protectedParameters ?? [],
    timeoutSeconds: command.timeoutInSeconds,
    metadataEndpoint: services.metadata.get(idKey(vm.id))?.origin,
  });
}

/**
 * Writes the instance view until the script has ended or the simulator stops; answers the last
 * execution state.
 */
async function follow(
  context: Pick<WorkContext, "id" | "resources" | "signal">,
  followed: { runId: string; script: ScriptRun },
): Promise<string> {
  const { runId, script } = followed;
  const write = (view: JsonObject) => {
    const resource = context.resources.get(context.id);
    if (resource === undefined || runIdOf(resource) !== runId) return;
    updateInternal(context.resources, context.id, { view });
  };
  const startTime = script.startedAt.toISOString();
  const finished = script.finished;
  let ended: Awaited<typeof finished> | undefined;
  while (ended === undefined) {
    if (context.signal.aborted) return "Unknown";
    write({ executionState: "Running", ...(await script.readTail()), startTime });
    ended = await Promise.race([finished, sleep(reportIntervalMs, undefined, { ref: false })]);
  }
  write(
    withoutUndefined({
      executionState: ended.state,
      executionMessage: ended.state === "Succeeded" ? "Execution completed" : "Execution failed",
      exitCode: ended.exitCode,
      ...(await script.readTail()),
      startTime,
      endTime: ended.endedAt.toISOString(),
    }),
  );
  return ended.state;
}

async function cancel(services: ComputeServices, context: WorkContext): Promise<void> {
  const vm = context.resources.get(vmIdOfChild(context.id));
  if (vm === undefined) return;
  const script = await services.host.adoptScript(
    vmIdOf(vm),
    stringAt(context.input, "runId") ?? "",
  );
  script?.cancel();
}

/** Scripts that ran on without an operation when the simulator stopped are followed again. */
export async function resumeRunCommands(
  services: ComputeServices,
  context: Pick<WorkContext, "resources">,
): Promise<void> {
  const { signal } = services.stopping;
  for (const resource of context.resources.list("Microsoft.Compute/virtualMachines/runCommands")) {
    const view = objectAt(resource.internal, "view");
    const vm = context.resources.get(vmIdOfChild(resource.id));
    if (view["executionState"] !== "Running" || vm === undefined) continue;
    const runId = runIdOf(resource);
    const script = await services.host.adoptScript(vmIdOf(vm), runId);
    if (script === undefined) continue;
    follow({ id: resource.id, resources: context.resources, signal }, { runId, script }).catch(
      () => undefined,
    );
  }
}

function showRunCommand(resource: Resource, expand: string | undefined): JsonObject {
  const properties = objectAt(resource.body, "properties");
  const shown = { ...resource.body, properties };
  if (expand?.toLowerCase() !== "instanceview") return shown;
  const view = resource.internal["view"];
  return {
    ...shown,
    properties: { ...properties, instanceView: isJsonObject(view) ? view : {} },
  };
}

function runIdOf(resource: Resource): string {
  return stringAt(resource.internal, "runId") ?? "";
}

function vmIdOfChild(id: string): string {
  const parsed = parseResourceId(id);
  const parent = parsed === undefined ? undefined : parentIdOf(parsed);
  return parent === undefined ? "" : formatResourceId(parent);
}
