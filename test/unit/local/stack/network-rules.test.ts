import { describe, expect, test } from "vitest";
import { ResourceTable } from "#local/resource-manager/resource-table.ts";
import { EndpointOrigins, internetOrigin } from "#local/stack/network-origins.ts";
import { mayReachDisk, storageNetworkOf } from "#local/stack/network-rules.ts";

const group = "/subscriptions/s/resourceGroups/g/providers";
const snapshot = `${group}/Microsoft.Compute/snapshots/snap`;
const accessOf = (name: string) => `${group}/Microsoft.Compute/diskAccesses/${name}`;
const account = `${group}/Microsoft.Storage/storageAccounts/vault`;
const endpointOf = (name: string) => `${group}/Microsoft.Network/privateEndpoints/${name}`;
const subnet = `${group}/Microsoft.Network/virtualNetworks/net/subnets/workers`;

interface World {
  readonly resources: ResourceTable;
  readonly origins: EndpointOrigins;
}

function emptyWorld(): World {
  const resources = new ResourceTable({ changed: () => undefined, deleted: () => undefined });
  return { resources, origins: new EndpointOrigins() };
}

/** An endpoint with an address, and its connection at the target. */
function connect(
  { resources, origins }: World,
  name: string,
  target: { readonly id: string; readonly groupId: string; readonly status: string },
): string {
  const id = endpointOf(name);
  const nicId = `${group}/Microsoft.Network/networkInterfaces/${name}`;
  const properties = { privateIPAddress: "10.0.0.4", subnet: { id: subnet } };
  resources.put(nicId, { body: { properties: { ipConfigurations: [{ name: "c", properties }] } } });
  const connection = {
    name: "c",
    properties: { privateLinkServiceId: target.id, groupIds: [target.groupId] },
  };
  resources.put(id, {
    body: { properties: { subnet: { id: subnet }, privateLinkServiceConnections: [connection] } },
    internal: { nicId },
  });
  resources.put(`${target.id}/privateEndpointConnections/${name}`, {
    body: {
      properties: {
        privateEndpoint: { id },
        privateLinkServiceConnectionState: { status: target.status },
      },
    },
  });
  return origins.addressOf(id);
}

const disksOf = (name: string, status = "Approved") => ({
  id: accessOf(name),
  groupId: "disks",
  status,
});

describe("an exported snapshot", () => {
  /** Whether it is reached: through the endpoint of its own disk access, another's, the internet. */
  function reach(properties: Record<string, string>, status = "Approved") {
    const world = emptyWorld();
    for (const name of ["own", "other"]) world.resources.put(accessOf(name), { body: {} });
    const own = connect(world, "own", disksOf("own", status));
    const other = connect(world, "other", disksOf("other"));
    world.resources.put(snapshot, { body: { properties } });
    const may = (from: string) => mayReachDisk(world.resources, world.origins, snapshot, from);
    return { own: may(own), other: may(other), internet: may(internetOrigin) };
  }
  const through = (name: string) => ({
    networkAccessPolicy: "AllowPrivate",
    diskAccessId: accessOf(name),
  });

  test("with AllowPrivate answers the endpoint of its own disk access only", () => {
    expect(reach(through("own"))).toEqual({ own: true, other: false, internet: false });
    expect(reach(through("other"))).toEqual({ own: false, other: true, internet: false });
  });

  test.each(["Pending", "Rejected"])("answers nobody while the connection is %s", (status) => {
    expect(reach(through("own"), status)).toEqual({ own: false, other: false, internet: false });
  });

  test("with DenyAll answers nobody", () => {
    const nobody = { own: false, other: false, internet: false };
    expect(reach({ networkAccessPolicy: "DenyAll" })).toEqual(nobody);
  });

  test("with AllowAll answers the internet, and not while public access is disabled", () => {
    expect(reach({ networkAccessPolicy: "AllowAll" }).internet).toBe(true);
    const closed = { networkAccessPolicy: "AllowAll", publicNetworkAccess: "Disabled" };
    expect(reach(closed).internet).toBe(false);
  });
});

describe("a storage account", () => {
  function rulesOf(properties: Record<string, string | boolean | { defaultAction: string }>) {
    const world = emptyWorld();
    world.resources.put(account, { body: { properties } });
    const address = connect(world, "blob", { id: account, groupId: "blob", status: "Approved" });
    return { address, rules: storageNetworkOf(world.resources, world.origins) };
  }

  test.each([
    [{}, true, true],
    [{ publicNetworkAccess: "Disabled" }, false, true],
    [{ networkAcls: { defaultAction: "Deny" } }, false, true],
    [{ publicNetworkAccess: "Disabled", allowSharedKeyAccess: false }, false, false],
  ])("of %j is public: %s, with shared keys: %s", (properties, publicAccess, sharedKeys) => {
    const { rules, address } = rulesOf(properties);
    expect(rules.accounts).toEqual([
      { name: "vault", publicAccess, sharedKeys, endpointServices: ["blob"] },
    ]);
    expect(rules.endpoints).toEqual([{ address, account: "vault", service: "blob" }]);
    expect(rules.internetAddress).toBe(internetOrigin);
  });
});
