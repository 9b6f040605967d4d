import { expect, test } from "vitest";
import type { JsonObject } from "#local/resource-manager/json.ts";
import { ResourceTable } from "#local/resource-manager/resource-table.ts";
import { whyOrphan } from "#local/stack/orphans.ts";

const group = "/subscriptions/s/resourceGroups/g/providers";
const vm = `${group}/Microsoft.Compute/virtualMachines/vm`;
const network = `${group}/Microsoft.Network/virtualNetworks/net`;
const account = `${group}/Microsoft.Storage/storageAccounts/account`;
const gone = `${group}/Microsoft.Compute/disks/gone`;

function endpointOf(privateLinkServiceId: string): JsonObject {
  const connection = { properties: { privateLinkServiceId } };
  return { properties: { privateLinkServiceConnections: [connection] } };
}

function linkTo(name: string, id: string): JsonObject {
  return { properties: { [name]: { id } } };
}

const cases: readonly (readonly [
  path: string,
  used: { body: JsonObject; internal?: JsonObject },
  unused: { body: JsonObject; internal?: JsonObject },
  reason: string,
])[] = [
  [
    "Microsoft.Compute/disks/d",
    { body: { managedBy: vm } },
    { body: {} },
    "attached to no machine",
  ],
  [
    "Microsoft.Compute/snapshots/s",
    { body: { properties: { creationData: { sourceResourceId: vm } } } },
    { body: { properties: { creationData: { sourceResourceId: gone } } } },
    "its disk is gone",
  ],
  [
    "Microsoft.Network/networkInterfaces/n",
    { body: {}, internal: { virtualMachineId: vm } },
    { body: {} },
    "used by no machine",
  ],
  [
    "Microsoft.Network/privateEndpoints/e",
    { body: endpointOf(account) },
    { body: endpointOf(gone) },
    "its target is gone",
  ],
  [
    "Microsoft.Network/privateDnsZones/z/virtualNetworkLinks/l",
    { body: linkTo("virtualNetwork", network) },
    { body: linkTo("virtualNetwork", gone) },
    "its network is gone",
  ],
  [
    "Microsoft.Network/virtualNetworks/net/virtualNetworkPeerings/p",
    { body: linkTo("remoteVirtualNetwork", network) },
    { body: linkTo("remoteVirtualNetwork", gone) },
    "the other network is gone",
  ],
];

function makeTable(): ResourceTable {
  const table = new ResourceTable({ changed: () => undefined, deleted: () => undefined });
  for (const id of [vm, network, account]) table.put(id, { body: {} });
  return table;
}

for (const [path, used, unused, reason] of cases) {
  test(`${path.split("/").at(-2)}: ${reason}`, () => {
    const table = makeTable();
    const id = `${group}/${path}`;
    expect(whyOrphan(table, table.put(id, used))).toBeUndefined();
    expect(whyOrphan(table, table.put(id, { internal: {}, ...unused }))).toBe(reason);
  });
}

test("a disk access without an endpoint is an orphan, with one it is none", () => {
  const table = makeTable();
  const access = table.put(`${group}/Microsoft.Compute/diskAccesses/a`, { body: {} });
  expect(whyOrphan(table, access)).toBe("no private endpoint leads to it");
  const endpoint = `${group}/Microsoft.Network/privateEndpoints/e`;
  table.put(endpoint, { body: endpointOf(access.id) });
  expect(whyOrphan(table, access)).toBeUndefined();
});
