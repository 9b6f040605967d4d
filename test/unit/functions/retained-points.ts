/** A policy of three days, and restore points of a VM that it covers, as old as a test wants them. */
import type { Policy } from "#core/model/policy.ts";
import { DEFAULT_RETENTION } from "#core/model/retention.ts";
import type { RestorePoint } from "#core/model/restore-point.ts";
import { createTestVm } from "./test-vm.ts";
import { START, type World } from "./test-world.ts";

export const RETAINED_VM = createTestVm();
const DAY = 24 * 3600 * 1000;
const NO_VMS = { vmIds: [], tags: [], locations: [], subscriptionIds: [] };
const MADE_AT = new Date(START - 365 * DAY).toISOString();

export const RETENTION_POLICY: Policy = {
  policyId: "p-1",
  name: "daily",
  enabled: true,
  schedule: { cron: "0 1 * * *", timeZone: "UTC" },
  selection: { include: { ...NO_VMS, vmIds: [RETAINED_VM.vmId] }, exclude: NO_VMS },
  repositoryId: "r-1",
  maxConcurrentVms: 2,
  retention: { ...DEFAULT_RETENTION, days: 3, minimumCount: 1 },
  createdAt: MADE_AT,
  enabledAt: MADE_AT,
  updatedAt: MADE_AT,
};

export async function insertPoint(
  { context }: World,
  daysAgo: number,
  fields: Partial<RestorePoint> = {},
): Promise<string> {
  const takenAt = new Date(START - daysAgo * DAY).toISOString();
  const { vmId, name: vmName, osDisk, dataDisks } = RETAINED_VM;
  const pointId = `${vmId}-${takenAt.slice(0, 10).replaceAll("-", "")}T013000Z-p-1`;
  await context.records.points.insert(pointId, {
    pointId,
    vmId,
    vmName,
    repositoryId: "r-1",
    sessionId: `backup-${pointId}`,
    policyId: "p-1",
    takenAt,
    state: "available",
    vm: RETAINED_VM,
    disks: [osDisk, ...dataDisks].map(({ diskId, name, slot, sizeBytes }) => ({
      diskId,
      name,
      slot,
      sizeBytes,
      kind: "full" as const,
      reason: "first backup",
      readBytes: 0,
      storedBytes: 0,
      changedBytes: 0,
      durationMs: 0,
      warnings: [],
    })),
    ...fields,
  });
  return pointId;
}
