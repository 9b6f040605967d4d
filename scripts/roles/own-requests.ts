/**
 * Requests of `azure/` that no SDK sends, and what they ask for. The compiler sees who sends them and
 * with which verb; what they are about stands here, and both must agree.
 * Source of the key rights: learn.microsoft.com/azure/key-vault/general/rbac-guide.
 */
import type { Rights } from "./data-operations.ts";
import { actionOf } from "./resource-operations.ts";

const messages = "Microsoft.Storage/storageAccounts/queueServices/queues/messages";
const blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
const vaultKeys = "Microsoft.KeyVault/vaults/keys";
const readSnapshot = { dataActions: ["Microsoft.Compute/snapshots/download/action"] } as const;
const writeDisk = { dataActions: ["Microsoft.Compute/disks/upload/action"] } as const;

/** Methods of `ResourceRequests` and the verbs that they send. */
export const plainRequestVerbs: Readonly<Record<string, string>> = {
  get: "get",
  list: "get",
  put: "put",
  delete: "delete",
};

const zone = "/providers/Microsoft.Network/privateDnsZones/{zone}";

/** By method of a port: each plain request that it sends, as `method path`. */
export const plainRequests: Readonly<Record<string, readonly string[]>> = {
  "RegionPort.readZone": [`get ${zone}`, `list ${zone}/virtualNetworkLinks`],
  "RegionPort.readAddressRecord": [`get ${zone}/A/{record}`],
  "RegionPort.startZone": [`put ${zone}`],
  "RegionPort.startZoneLink": [`put ${zone}/virtualNetworkLinks/{link}`],
};

/**
 * The action of one entry above.
 *
 * @throws Error for a method that sends what is not known
 */
export function actionOfPlainRequest(entry: string): { action: string; type: string } {
  const [method = "", path = ""] = entry.split(" ");
  const verb = plainRequestVerbs[method];
  if (verb === undefined)
    throw new Error(`say in scripts/roles/own-requests.ts what ${method} sends`);
  return actionOf(verb, path);
}

/** Files that open connections by themselves, with the rights that the methods of their port need. */
export const connectingFiles: Readonly<Record<string, Readonly<Record<string, Rights>>>> = {
  "azure/keyvault/key-wrapper.ts": {
    "KeyWrapper.wrap": { dataActions: [`${vaultKeys}/wrap/action`] },
    "KeyWrapper.unwrap": { dataActions: [`${vaultKeys}/unwrap/action`] },
  },
  // With a SAS, and with a token where the disk's data access mode asks for one: snapshots are read,
  // disks are written (learn.microsoft.com/azure/virtual-machines/disks-secure-upload-download).
  "azure/disk/sas-endpoint.ts": {
    "DiskDataReader.readSizeBytes": readSnapshot,
    "DiskDataReader.read": readSnapshot,
    "DiskDataReader.listAllocated": readSnapshot,
    "DiskDataReader.listChanged": readSnapshot,
    "DiskDataWriter.write": writeDisk,
    "DiskDataWriter.finish": writeDisk,
  },
  // The doctor of the worker looks at its queue, lists a repository and asks for the size of snapshots
  // (worker-agent/jobs/doctor.ts).
  "azure/storage/probe-network.ts": {
    "ProbeConnection.ask": {
      dataActions: [`${messages}/process/action`, `${blobs}/read`, ...readSnapshot.dataActions],
    },
  },
  // The plain requests above.
  "azure/resource-requests.ts": {},
};
