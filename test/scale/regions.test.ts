/**
 * The control plane in one region, machines in three others, one of them in a second subscription: the
 * plan that is shown beforehand is what is made, and what Azure refuses is told with what to do.
 */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { findFileDifference } from "#local/demo/compare-disks.ts";
import type { Stack } from "#local/stack.ts";
import { otherSubscriptionId } from "#local/stack/deployment.ts";
import type { VmRow } from "#local/stack/control-protocol.ts";
import { listResources } from "#local/stack/resource-list.ts";
import { allIds, readRegionPlan } from "../e2e/region-plan.ts";
import {
  makeImage,
  mib,
  readDetail,
  readPoint,
  restore,
  startBackup,
  startTestStack,
  waitForSuccess,
  type SessionDetail,
  type TestStack,
} from "../e2e/test-stack.ts";

const timeoutMs = 300_000;
const roleVersion = "2022-04-01";
const machines = [
  { name: "north", region: "northeurope", where: "estate" },
  { name: "south", region: "uksouth", where: "estate" },
  { name: "other", region: "swedencentral", where: "otherEstate" },
] as const;
const assignmentSchema = z.object({
  id: z.string(),
  properties: z.object({ roleDefinitionId: z.string(), principalId: z.string() }),
});

let running: TestStack;
let images: readonly string[];
let vms: readonly VmRow[];

beforeAll(async () => {
  running = await startTestStack();
  images = await Promise.all(
    machines.map(({ name }) =>
      makeImage(join(running.directory, `${name}.raw`), 2 * mib, [
        { offsetBytes: mib, lengthBytes: 300_000 },
      ]),
    ),
  );
  vms = await Promise.all(
    machines.map(({ name, region, where }, index) =>
      running.stack[where].createVm({
        name,
        region,
        osDisk: images[index] ?? "",
        dataDisks: [],
        tags: {},
      }),
    ),
  );
}, timeoutMs);

afterEach(() => running.checkEstate());

afterAll(async () => {
  await running?.stop();
}, timeoutMs);

/** Takes away what lets the control plane work with disk accesses there; answers how to give it back. */
async function takeRoleOfDiskAccesses({ cloud, deployment }: Stack): Promise<() => Promise<void>> {
  const scope = deployment.workerResourceGroupId.replace(
    /^\/subscriptions\/[^/]+/,
    `/subscriptions/${otherSubscriptionId}`,
  );
  const path = `${scope}/providers/Microsoft.Authorization/roleAssignments`;
  const { principalId } = deployment.controlPlaneIdentity;
  const all = z.array(assignmentSchema).parse(await cloud.arm.list(path, roleVersion));
  const [assignment, ...more] = all.filter(
    ({ id, properties }) => id.startsWith(`${scope}/`) && properties.principalId === principalId,
  );
  if (assignment === undefined || more.length > 0) throw new Error(`${all.length} roles there`);
  const { id, properties } = assignment;
  const request = { path: id, apiVersion: roleVersion };
  await cloud.arm.request({ method: "DELETE", ...request });
  return async () => {
    const body = { properties: { ...properties, principalType: "ServicePrincipal" } };
    await cloud.arm.request({ method: "PUT", ...request, body });
  };
}

async function waitForFailure(sessionId: string): Promise<SessionDetail> {
  await expect(waitForSuccess(running, sessionId)).rejects.toThrow();
  return readDetail(running, sessionId);
}

test(
  "machines in three other regions and two subscriptions are backed up, as the plan told",
  { timeout: timeoutMs },
  async () => {
    const { stack } = running;
    const before = new Set(allIds(stack));
    const plans = await Promise.all(machines.map(({ region }) => readRegionPlan(running, region)));
    expect(allIds(stack)).toEqual([...before].sort());
    const planned = new Set(plans.flatMap(({ ids }) => ids));

    const giveRoleBack = await takeRoleOfDiskAccesses(stack);
    const [north, south, refused] = await Promise.all(vms.map((vm) => startBackup(running, vm)));
    const { reason } = await waitForFailure(refused ?? "");
    expect(reason).toContain(`in subscription ${otherSubscriptionId}`);
    expect(reason).toContain("the role 'Holdfast disk accesses' on the resource group");
    await giveRoleBack();
    const other = await startBackup(running, vms[2]!);
    const sessions = [north ?? "", south ?? "", other];
    for (const sessionId of sessions) await waitForSuccess(running, sessionId);

    const rows = listResources(stack.cloud.resourceManager, stack.cloud.disks);
    const plannedTypes = new Set(
      rows.flatMap(({ resourceId, type }) => (planned.has(resourceId.toLowerCase()) ? type : [])),
    );
    const made = rows
      .filter(({ type }) => plannedTypes.has(type))
      .map(({ resourceId }) => resourceId.toLowerCase())
      .filter((id) => !before.has(id));
    expect(made.sort()).toEqual([...planned].sort());
    expect(plannedTypes.size).toBeGreaterThanOrEqual(9);
    for (const { region } of machines) expect(made.join()).toContain(`/holdfast-${region}`);
    const inOther = made.filter((id) => id.startsWith(`/subscriptions/${otherSubscriptionId}/`));
    expect(inOther).toHaveLength(1);
    expect(inOther[0]).toContain("/diskaccesses/");
    for (const { region } of machines) {
      const { ids } = await readRegionPlan(running, region);
      expect(ids).toEqual([]);
    }

    const point = await readPoint(running, other);
    await restore(running, point, "other-again", stack.otherEstate);
    const out = join(running.directory, "out.raw");
    await stack.otherEstate.exportDisk({ disk: "other-again-os", out });
    expect(await findFileDifference(out, images[2] ?? "")).toBeUndefined();
  },
);
