/**
 * Rights that Resource Manager asks for because of what a request's body names: joining a subnet,
 * assigning an identity. The body says which, so no code tells them; they are written down for each
 * method of a port and proved by the local Azure, which refuses what lacks them and reports what it
 * never asked for (test/integration/azure-adapters/roles-on-simulator.test.ts).
 * Sources: learn.microsoft.com/azure/role-based-access-control/permissions/networking ("join" actions),
 * .../permissions/compute, learn.microsoft.com/azure/private-link/rbac-permissions,
 * learn.microsoft.com/azure/virtual-network/virtual-network-manage-peering#permissions.
 */
const network = "Microsoft.Network";
const joinNic = `${network}/networkInterfaces/join/action`;
const joinSubnet = `${network}/virtualNetworks/subnets/join/action`;
const joinSecurityGroup = `${network}/networkSecurityGroups/join/action`;
const assignIdentity = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";

export const linkedActions: Readonly<Record<string, readonly string[]>> = {
  // Built-in role Disk Backup Reader: "read access to the disk to take a snapshot".
  "ComputePort.startSnapshot": ["Microsoft.Compute/disks/beginGetAccess/action"],
  "ComputePort.startNic": [joinSubnet, joinSecurityGroup],
  "ComputePort.startAttachVm": ["Microsoft.Compute/disks/write", joinNic, assignIdentity],
  // Its OS disk is made of an image, in the caller's name.
  "ComputePort.startWorkerVm": ["Microsoft.Compute/disks/write", joinNic, assignIdentity],
  "RegionPort.startNetwork": [joinSecurityGroup],
  "RegionPort.startSubnet": [joinSecurityGroup],
  "RegionPort.startPeering": [`${network}/virtualNetworks/peer/action`],
  // Connected at once instead of waiting for somebody's approval.
  "RegionPort.startPrivateEndpoint": [
    joinSubnet,
    "Microsoft.Storage/storageAccounts/privateEndpointConnectionsApproval/action",
    "Microsoft.Compute/diskAccesses/privateEndpointConnectionsApproval/action",
  ],
  "RegionPort.startZoneGroup": [`${network}/privateDnsZones/join/action`],
  "RegionPort.startZoneLink": [`${network}/virtualNetworks/join/action`],
};
