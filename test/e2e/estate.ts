import { readdir, readFile } from "node:fs/promises";
import { z } from "zod";
import { listNamespaces } from "#local/fabric/network-namespaces.ts";
import { prefixOf, type Stack } from "#local/stack.ts";
import type { ApiClient } from "#local/stack/api-client.ts";
import type { ResourceRow } from "#local/stack/control-protocol.ts";
import { listResources } from "#local/stack/resource-list.ts";

/** What exists besides the product's work: to be compared with what is there when that is over. */
export interface EstateBefore {
  readonly resourceIds: ReadonlySet<string>;
  /** Of the stack's own network namespaces: other stacks may run at the same time. */
  readonly namespacePrefix: string;
}

const cleanTimeoutMs = 60_000;
const pollMs = 200;
/**
 * What a region keeps for the next job, by type and by the tag that says whose it is. What has no tags
 * belongs to one of these by its id.
 */
const regionTypes = new Set(
  [
    "Microsoft.Network/networkSecurityGroups",
    "Microsoft.Network/virtualNetworks",
    "Microsoft.Network/privateEndpoints",
    "Microsoft.Network/privateDnsZones",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
    "Microsoft.Compute/diskAccesses",
    "Microsoft.Storage/storageAccounts",
  ].map((type) => type.toLowerCase()),
);
const controlPlaneTag = "holdfast-control-plane";
const pointSchema = z.object({
  vmId: z.string(),
  takenAt: z.string(),
  disks: z.array(z.object({ snapshot: z.object({ snapshotId: z.string() }).nullish() })),
});

export async function readEstate(stack: Stack): Promise<EstateBefore> {
  const { resourceManager, disks } = stack.cloud;
  const ids = listResources(resourceManager, disks).map(({ resourceId }) => keyOf(resourceId));
  return { resourceIds: new Set(ids), namespacePrefix: prefixOf(stack.stateDirectory) };
}

/** Whether idle workers may be there, which the next job of a test takes, or must have gone. */
export type WorkerRest = "resting" | "gone";

/**
 * What the product left and nobody asked for, once it had time to go: resources of any type that are
 * neither a region's, nor machines of the test, nor bases of the next incremental; SAS; guests'
 * processes; and whatever the command `resources` calls an orphan. Empty when the estate is as it was.
 */
export async function findOrphans(
  stack: Stack,
  api: ApiClient,
  { before, workers }: { readonly before: EstateBefore; readonly workers: WorkerRest },
): Promise<string[]> {
  const deadline = performance.now() + cleanTimeoutMs;
  for (;;) {
    const idle = workers === "resting" ? await listWorkerIds(api) : new Set<string>();
    const orphans = await orphansNow(stack, api, before, idle);
    if (orphans.length === 0 || performance.now() > deadline) return orphans;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Network namespaces and processes that a stack left when it was stopped. */
export async function findRemains(stateDirectory: string, before: EstateBefore): Promise<string[]> {
  const remains = (await namespacesOf())
    .filter((name) => name.startsWith(before.namespacePrefix))
    .map((name) => `network namespace ${name}`);
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    for (const file of ["cmdline", "environ"]) {
      const text = await readFile(`/proc/${name}/${file}`, "latin1").catch(() => "");
      if (text.includes(stateDirectory)) remains.push(`process ${name}: ${file}`);
    }
  }
  return remains;
}

async function orphansNow(
  stack: Stack,
  api: ApiClient,
  before: EstateBefore,
  restingIds: ReadonlySet<string>,
): Promise<string[]> {
  const { resourceManager, disks, vmHost } = stack.cloud;
  const vms = await stack.estate.listVms();
  const groups = workloadGroupsOf(stack);
  const workers = vms.filter(
    ({ resourceId, name }) =>
      !groups.some((group) => keyOf(resourceId).startsWith(group)) && !restingIds.has(name),
  );
  const bases = await readBases(api);
  const isWanted = (row: ResourceRow): boolean =>
    before.resourceIds.has(keyOf(row.resourceId)) ||
    isOfRegion(stack, row) ||
    isOfTest(groups, row) ||
    isOfWorker(restingIds, row) ||
    bases.has(keyOf(row.resourceId));
  const found = listResources(resourceManager, disks)
    .filter((row) => !isWanted(row))
    .map(({ resourceId, orphan }) => resourceId + (orphan === undefined ? "" : ` (${orphan})`));
  for (const { kind, id } of disks.listGrants()) found.push(`live SAS on ${kind} ${id}`);
  for (const { vmId, name } of workers) {
    for (const { commandLine } of await vmHost.listProcesses(vmId)) {
      found.push(`process of ${name}: ${commandLine}`);
    }
  }
  return found;
}

/** Snapshots of each machine's newest restore point: the next incremental begins there. */
async function readBases(api: ApiClient): Promise<ReadonlySet<string>> {
  const newest = new Map<string, z.infer<typeof pointSchema>>();
  for (const point of await api.list("/restore-points", pointSchema)) {
    const known = newest.get(point.vmId);
    if (known === undefined || known.takenAt < point.takenAt) newest.set(point.vmId, point);
  }
  const snapshots = [...newest.values()].flatMap(({ disks }) => disks);
  return new Set(snapshots.flatMap(({ snapshot }) => keyOf(snapshot?.snapshotId ?? "")));
}

async function listWorkerIds(api: ApiClient): Promise<ReadonlySet<string>> {
  const rows = await api.list("/workers", z.object({ workerId: z.string(), state: z.string() }));
  const resting = rows.filter(({ state }) => state === "idle" || state === "deallocated");
  return new Set(resting.map(({ workerId }) => workerId));
}

/** VM, NIC, OS disk and Run Command of a worker that waits for its next job. */
function isOfWorker(workerIds: ReadonlySet<string>, row: ResourceRow): boolean {
  const [, workerId] =
    /\/(?:virtualMachines|networkInterfaces|disks)\/(holdfast-[0-9a-f]+)(?:-nic|-os|\/|$)/i.exec(
      row.resourceId,
    ) ?? [];
  return row.orphan === undefined && workerId !== undefined && workerIds.has(workerId);
}

function isOfRegion(stack: Stack, { resourceId, type, tags, orphan }: ResourceRow): boolean {
  if (orphan !== undefined) return false;
  const isTagged = Object.keys(tags).some((name) => name.toLowerCase() === controlPlaneTag);
  if (regionTypes.has(type.toLowerCase())) return isTagged;
  const { resources } = stack.cloud.resourceManager;
  const nicOwner = resources.get(resourceId)?.internal["privateEndpointId"];
  const parent = typeof nicOwner === "string" ? nicOwner : parentOf(resourceId, type);
  const owner = parent === undefined ? undefined : resources.get(parent);
  // Subnets, peerings, zone groups, records, services, queues: gone with what they belong to.
  return owner !== undefined && regionTypes.has(owner.type.toLowerCase());
}

/** Beginnings of the ids of machines that tests make, in both subscriptions. */
function workloadGroupsOf({ deployment }: Stack): readonly string[] {
  const { workloadResourceGroupId, otherWorkloadResourceGroupId } = deployment;
  return [workloadResourceGroupId, otherWorkloadResourceGroupId].map((id) => keyOf(`${id}/`));
}

/** Machines that the test made or had restored, with all that hangs on them. */
function isOfTest(groups: readonly string[], row: ResourceRow): boolean {
  if (row.type.toLowerCase() === "microsoft.compute/snapshots") return false;
  return row.orphan === undefined && groups.some((each) => keyOf(row.resourceId).startsWith(each));
}

/** Id of the resource that a child lies below. */
function parentOf(resourceId: string, type: string): string | undefined {
  const childDepth = type.split("/").length - 2;
  if (childDepth === 0) return undefined;
  return resourceId
    .split("/")
    .slice(0, -2 * childDepth)
    .join("/");
}

async function namespacesOf(): Promise<readonly string[]> {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return [];
  return listNamespaces().catch(() => []);
}

function keyOf(resourceId: string): string {
  return resourceId.toLowerCase();
}
