import { z } from "zod";
import { isLater } from "#core/backup/plan-snapshot-cleanup.ts";
import { chooseVm } from "#core/schedule/choose-vms.ts";
import { backupSessionId, slotKey } from "#core/model/session.ts";
import { ON_DEMAND_DAYS } from "#core/model/retention.ts";
import type { Policy } from "#core/model/policy.ts";
import type { RestorePoint } from "#core/model/restore-point.ts";
import type { VmSummary } from "#core/model/vm-configuration.ts";
import { isWorker, listVms } from "../activities/policies.ts";
import type { AppContext } from "../app-context.ts";
import type { ApiCall, Endpoint } from "../http/endpoint.ts";
import { notFound, Problem, wrongField } from "../http/problem.ts";
import type { BackupVmInput } from "../orchestrators/backup-vm.ts";
import { ORCHESTRATORS } from "../orchestrators/names.ts";

/** `/api/v1/protected-vms`: VMs of the subscriptions, what covers them, and backups on demand. */
const DAY_MS = 24 * 3600 * 1000;

interface ProtectedVm extends VmSummary {
  readonly policies: readonly { readonly policyId: string; readonly name: string }[];
  readonly lastRestorePoint: { readonly pointId: string; readonly takenAt: string } | null;
}

async function listPolicies({ records }: AppContext): Promise<Policy[]> {
  const policies: Policy[] = [];
  for await (const { value } of records.policies.list()) policies.push(value);
  return policies;
}

async function latestPoints(
  context: AppContext,
  vmId?: string,
): Promise<Map<string, RestorePoint>> {
  const latest = new Map<string, RestorePoint>();
  const options = vmId === undefined ? {} : { prefix: `${vmId}-` };
  for await (const { value } of context.records.points.list(options)) {
    const known = latest.get(value.vmId);
    if (known === undefined || isLater(value, known)) latest.set(value.vmId, value);
  }
  return latest;
}

function describe(
  vm: VmSummary,
  policies: readonly Policy[],
  latest: ReadonlyMap<string, RestorePoint>,
): ProtectedVm {
  const point = latest.get(vm.vmId);
  return {
    ...vm,
    policies: policies
      .filter((policy) => policy.enabled && chooseVm(policy.selection, vm).covered)
      .map(({ policyId, name }) => ({ policyId, name })),
    lastRestorePoint:
      point === undefined ? null : { pointId: point.pointId, takenAt: point.takenAt },
  };
}

async function findVm(call: ApiCall): Promise<VmSummary> {
  const vmId = call.param("vmId").toLowerCase();
  const vms = await listVms(call.context);
  const vm = vms.find((each) => each.vmId.toLowerCase() === vmId);
  if (vm === undefined || isWorker(call.context, vm)) throw notFound("ProtectedVm", vmId);
  return vm;
}

const backupRequestSchema = z.strictObject({
  /** Of the VM's policy when missing. */
  repositoryId: z.string().min(1).max(64).optional(),
  forceFull: z.boolean().default(false),
  /** The restore point stays so long; after that retention lets it go. */
  retentionDays: z.number().int().min(1).max(36_500).default(ON_DEMAND_DAYS),
});

/** The repository that was asked for, else the one of a policy that covers the VM. */
async function chooseRepository(
  context: AppContext,
  vm: VmSummary,
  asked: string | undefined,
): Promise<string> {
  if (asked !== undefined) {
    if ((await context.records.repositories.read(asked)) === undefined)
      throw wrongField("repositoryId", `there is no repository '${asked}'`);
    return asked;
  }
  const [policy] = (await listPolicies(context)).filter(
    (each) => each.enabled && chooseVm(each.selection, vm).covered,
  );
  if (policy === undefined)
    throw wrongField("repositoryId", "no policy covers the VM: say which repository to use");
  return policy.repositoryId;
}

export const protectedVmEndpoints: readonly Endpoint[] = [
  {
    name: "list-protected-vms",
    method: "GET",
    route: "v1/protected-vms",
    async handle({ context }) {
      const [vms, policies, latest] = await Promise.all([
        listVms(context),
        listPolicies(context),
        latestPoints(context),
      ]);
      const value = vms
        .filter((vm) => !isWorker(context, vm))
        .map((vm) => describe(vm, policies, latest));
      return { status: 200, body: { value } };
    },
  },
  {
    name: "get-protected-vm",
    method: "GET",
    route: "v1/protected-vms/{vmId}",
    async handle(call) {
      const vm = await findVm(call);
      const policies = await listPolicies(call.context);
      const latest = await latestPoints(call.context, vm.vmId);
      return { status: 200, body: describe(vm, policies, latest) };
    },
  },
  {
    name: "start-backup",
    method: "POST",
    route: "v1/protected-vms/{vmId}/backups",
    async handle(call) {
      const { context, client } = call;
      const { records, clock, events, config } = context;
      const request = await call.body(backupRequestSchema);
      const vm = await findVm(call);
      const repositoryId = await chooseRepository(context, vm, request.repositoryId);
      const now = clock();
      const sessionId = backupSessionId(vm.vmId, slotKey(now), "manual");
      const input: BackupVmInput = {
        sessionId,
        vmId: vm.vmId,
        vmResourceId: vm.resourceId,
        vmName: vm.name,
        repositoryId,
        trigger: "manual",
        forceFull: request.forceFull,
        settings: config.run,
      };
      // The session can be read from the moment its address is known.
      const inserted = await records.sessions.insert(sessionId, {
        sessionId,
        type: "backup",
        state: "running",
        trigger: "manual",
        startedAt: now.toISOString(),
        vmId: vm.vmId,
        vmName: vm.name,
        repositoryId,
        jobId: sessionId,
        keepUntil: new Date(now.getTime() + request.retentionDays * DAY_MS).toISOString(),
      });
      if (inserted === "exists")
        throw new Problem(409, "BackupJustStarted", `Session '${sessionId}' started this second.`);
      await client.startOnce(ORCHESTRATORS.backupVm, sessionId, input);
      events.backupRequested({ sessionId, vmId: vm.vmId });
      return {
        status: 202,
        body: { sessionId },
        location: `/api/v1/sessions/${sessionId}`,
      };
    },
  },
];
