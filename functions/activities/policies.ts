import { CONTROL_PLANE_TAG } from "#core/backup/snapshot-tags.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import { chooseVms } from "#core/schedule/choose-vms.ts";
import type { VmSummary } from "#core/model/vm-configuration.ts";
import type { AppContext } from "../app-context.ts";
import { defineActivity } from "./define-activity.ts";
import { getRunningSession } from "./running-session.ts";

/** Steps of a policy's run. */
export async function listVms(context: AppContext): Promise<VmSummary[]> {
  const vms: VmSummary[] = [];
  for (const subscriptionId of context.config.subscriptionIds) {
    for await (const vm of context.compute.listVms(subscriptionId)) vms.push(vm);
  }
  return vms;
}

/** Opens the session of the run and keeps the chosen VMs in it. */
export const chooseVmsOfPolicy = defineActivity("choose-vms", async (context, input) => {
  const { records, clock } = context;
  const { sessionId, policyId } = input;
  const policy = await records.policies.get(policyId);
  const known = await records.sessions.read(sessionId);
  if (known !== undefined && known.value.targets !== undefined)
    return { count: known.value.targets.length, maxConcurrentVms: policy.maxConcurrentVms };
  const targets = chooseVms(policy.selection, await listVms(context)).flatMap((choice) =>
    choice.covered && !isWorker(context, choice.vm)
      ? [{ vmId: choice.vm.vmId, vmResourceId: choice.vm.resourceId, vmName: choice.vm.name }]
      : [],
  );
  await records.sessions.insert(sessionId, {
    sessionId,
    type: "policy",
    state: "running",
    trigger: "schedule",
    startedAt: clock().toISOString(),
    policyId,
    repositoryId: policy.repositoryId,
    targets,
  });
  return { count: targets.length, maxConcurrentVms: policy.maxConcurrentVms };
});

/**
 * Our own workers: by their resource group, and by their tag where a region's configuration names
 * another one. Nobody backs them up.
 */
export function isWorker({ config }: AppContext, { resourceId, tags }: VmSummary): boolean {
  const group = `${config.worker.resourceGroupId.toLowerCase()}/`;
  const isTagged = tags[CONTROL_PLANE_TAG] === config.controlPlaneId;
  return isTagged || resourceId.toLowerCase().startsWith(group);
}

export const readPolicyTarget = defineActivity("read-policy-target", async (context, input) => {
  const session = await getRunningSession(context, input.sessionId);
  const target = session.targets?.[input.index];
  if (target === undefined || session.repositoryId === undefined)
    throw new HoldfastError("TargetNotFound", `Session '${input.sessionId}' has no such VM.`);
  return { ...target, repositoryId: session.repositoryId };
});
