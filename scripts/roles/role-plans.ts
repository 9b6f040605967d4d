/**
 * Who needs what, where: each role is the methods of ports that its holder calls on the resources of
 * one scope. What a method asks for is found in the code; `on` takes only the part of it that
 * is about some types, for methods that reach over several scopes.
 */
export interface RolePlan {
  /** `infra/roles/<file>.json` */
  readonly file: string;
  readonly name: string;
  readonly description: string;
  /** Which program holds it: its code must call every method below. */
  readonly holder: "control plane" | "workers";
  readonly grants: readonly {
    readonly methods: readonly string[];
    /** Resource types, without what lies below them. */
    readonly on?: readonly string[];
    /** Rights that are left to another role. */
    readonly without?: readonly string[];
  }[];
}

const vms = "Microsoft.Compute/virtualMachines";
const runCommands = `${vms}/runCommands`;
const disks = "Microsoft.Compute/disks";
const snapshots = "Microsoft.Compute/snapshots";
const diskAccesses = "Microsoft.Compute/diskAccesses";
const nics = "Microsoft.Network/networkInterfaces";
const networks = "Microsoft.Network/virtualNetworks";
const subnets = `${networks}/subnets`;
const peerings = `${networks}/virtualNetworkPeerings`;
const endpoints = "Microsoft.Network/privateEndpoints";
const zoneGroups = `${endpoints}/privateDnsZoneGroups`;
const zones = "Microsoft.Network/privateDnsZones";
const accounts = "Microsoft.Storage/storageAccounts";
const blobs = `${accounts}/blobServices/containers/blobs`;

const messages = `${accounts}/queueServices/queues/messages`;

/** Rights on versions and policies, needed only where the account keeps versions. */
const immutableRights = [
  `${blobs}/deleteBlobVersion/action`,
  `${blobs}/immutableStorage/runAsSuperUser/action`,
];
const storeMethods = [
  "BlobStore.readCapabilities",
  "BlobStore.create",
  "BlobStore.createFromParts",
  "BlobStore.read",
  "BlobStore.list",
  "BlobStore.readProperties",
  "BlobStore.delete",
  "BlobStore.extendImmutability",
  "BlobStore.startRetrieval",
  "BlobStore.lock",
];

export const rolePlans: readonly RolePlan[] = [
  {
    file: "holdfast-source",
    name: "Holdfast source",
    description: "Read virtual machines and take, read and delete snapshots of their disks.",
    holder: "control plane",
    grants: [
      {
        methods: [
          "ComputePort.listVms",
          "ComputePort.readVm",
          "ComputePort.startSnapshot",
          "ComputePort.readSnapshot",
          "ComputePort.startSnapshotAccess",
          "ComputePort.startDeleteSnapshot",
        ],
      },
      { methods: ["ComputePort.grantAccess", "ComputePort.revokeAccess"], on: [snapshots] },
      {
        methods: ["ComputePort.listOwned", "ComputePort.listUsedDiskAccesses"],
        on: [vms, disks, snapshots, nics],
      },
    ],
  },
  {
    file: "holdfast-restore",
    name: "Holdfast restore",
    description: "Make virtual machines of restored disks, and undo it.",
    holder: "control plane",
    grants: [
      {
        methods: [
          "ComputePort.startUploadDisk",
          "ComputePort.readDisk",
          "ComputePort.startDiskSettings",
          "ComputePort.startDeleteDisk",
          "ComputePort.startNic",
          "ComputePort.readNicProvisioning",
          "ComputePort.startDeleteNic",
          "ComputePort.readVmProvisioning",
          "ComputePort.startDeleteVm",
        ],
      },
      // Identities are given one by one: Managed Identity Operator on each.
      { methods: ["ComputePort.startAttachVm"], on: [vms, disks, nics] },
      { methods: ["ComputePort.grantAccess", "ComputePort.revokeAccess"], on: [disks] },
      {
        methods: ["ComputePort.listOwned", "ComputePort.listUsedDiskAccesses"],
        on: [vms, disks, nics],
      },
    ],
  },
  {
    file: "holdfast-workers",
    name: "Holdfast workers",
    description: "Make and remove workers, their private networks and their staging accounts.",
    holder: "control plane",
    grants: [
      {
        methods: [
          "ComputePort.startNic",
          "ComputePort.readNicProvisioning",
          "ComputePort.startDeleteNic",
          "ComputePort.readVmProvisioning",
          "ComputePort.readWorkerVm",
          "ComputePort.startDeallocateVm",
          "ComputePort.startPowerOnVm",
          "ComputePort.startDeleteVm",
          "ComputePort.startRunCommand",
          "ComputePort.readRunCommand",
          "ComputePort.startDeleteDisk",
          "RegionPort.readSecurityGroup",
          "RegionPort.readRoutes",
          "RegionPort.readNetwork",
          "RegionPort.startSecurityGroup",
          "RegionPort.startNetwork",
          "RegionPort.startSubnet",
          "RegionPort.startPeering",
          "RegionPort.startDeletePeering",
          "RegionPort.listStorageAccounts",
          "RegionPort.startStagingAccount",
          "RegionPort.secureStagingAccount",
          "RegionPort.readLifecycleRules",
          "RegionPort.writeLifecycleRule",
          "RegionPort.listPrivateEndpoints",
          "RegionPort.readEndpointDns",
          "RegionPort.startDeletePrivateEndpoint",
        ],
      },
      { methods: ["ComputePort.startWorkerVm"], on: [vms, runCommands, disks, nics] },
      { methods: ["ComputePort.listOwned"], on: [vms, disks, nics] },
      { methods: ["RegionPort.startPrivateEndpoint"], on: [endpoints, subnets, accounts] },
      { methods: ["RegionPort.startZoneGroup"], on: [zoneGroups] },
      { methods: ["RegionPort.startZoneLink"], on: [networks] },
    ],
  },
  {
    file: "holdfast-disk-accesses",
    name: "Holdfast disk accesses",
    description: "Make and remove the disk accesses that snapshots and disks are read through.",
    holder: "control plane",
    grants: [
      {
        methods: [
          "ComputePort.listDiskAccesses",
          "ComputePort.readDiskAccess",
          "ComputePort.startDiskAccess",
          "ComputePort.startDeleteDiskAccess",
        ],
      },
      { methods: ["RegionPort.startPrivateEndpoint"], on: [diskAccesses] },
    ],
  },
  {
    file: "holdfast-hub",
    name: "Holdfast hub",
    description: "Connect the networks of workers with the control plane's network.",
    holder: "control plane",
    grants: [
      // Of endpoints and networks that somebody else made.
      {
        methods: [
          "RegionPort.listPrivateEndpoints",
          "RegionPort.readEndpointDns",
          "RegionPort.readSecurityGroup",
          "RegionPort.readRoutes",
        ],
      },
      {
        methods: [
          "RegionPort.readNetwork",
          "RegionPort.startPeering",
          "RegionPort.startDeletePeering",
        ],
        on: [networks, peerings],
      },
      { methods: ["RegionPort.startPrivateEndpoint"], on: [subnets] },
      { methods: ["RegionPort.startZoneLink"], on: [networks] },
    ],
  },
  {
    file: "holdfast-private-dns",
    name: "Holdfast private DNS",
    description: "Make the zones of private endpoints, link them to networks and fill them.",
    holder: "control plane",
    grants: [
      {
        methods: ["RegionPort.readZone", "RegionPort.readAddressRecord", "RegionPort.startZone"],
      },
      { methods: ["RegionPort.startZoneGroup"], on: [zones] },
      { methods: ["RegionPort.startZoneLink"], on: [`${zones}/virtualNetworkLinks`] },
    ],
  },
  {
    file: "holdfast-shared-account",
    name: "Holdfast shared account",
    description: "Connect a storage account of repositories or of the control plane privately.",
    holder: "control plane",
    grants: [
      { methods: ["RegionPort.listStorageAccounts"] },
      { methods: ["RegionPort.startPrivateEndpoint"], on: [accounts] },
    ],
  },
  {
    file: "holdfast-records",
    name: "Holdfast records",
    description: "Keep the records of the control plane in tables.",
    holder: "control plane",
    grants: [
      {
        methods: [
          "RecordTable.insert",
          "RecordTable.put",
          "RecordTable.read",
          "RecordTable.list",
          "RecordTable.delete",
        ],
      },
    ],
  },
  {
    file: "holdfast-staging",
    name: "Holdfast staging",
    description: "Put the worker bundle and jobs into staging accounts.",
    holder: "control plane",
    grants: [
      {
        methods: [
          "StagingPort.ensureBundle",
          "StagingPort.ensureQueue",
          "StagingPort.deleteQueue",
          "StagingPort.sendMessage",
          "StagingPort.writeJobBlob",
          "StagingPort.deleteJobBlobs",
        ],
      },
    ],
  },
  {
    file: "holdfast-repository-container",
    name: "Holdfast repository container",
    description: "Make the container of a repository. Gives no access to what is in it.",
    holder: "control plane",
    grants: [{ methods: ["StagingPort.ensureContainer"] }],
  },
  {
    file: "holdfast-worker-jobs",
    name: "Holdfast worker jobs",
    description: "Receive jobs from the queues and blobs of staging accounts.",
    holder: "workers",
    grants: [
      {
        methods: [
          "WorkerChannel.receiveJob",
          "WorkerChannel.deleteJob",
          "WorkerChannel.readJobBlob",
        ],
      },
      { methods: ["ProbeConnection.ask"], on: [messages] },
    ],
  },
  {
    file: "holdfast-worker-events",
    name: "Holdfast worker events",
    description: "Send events to the control plane.",
    holder: "workers",
    grants: [{ methods: ["WorkerChannel.sendEvent"] }],
  },
  {
    file: "holdfast-worker-repository",
    name: "Holdfast worker repository",
    description: "Read, write and clean up a repository in an account that keeps no versions.",
    holder: "workers",
    grants: [
      { methods: storeMethods, without: immutableRights },
      { methods: ["ProbeConnection.ask"], on: [blobs] },
    ],
  },
  {
    file: "holdfast-worker-immutable-repository",
    name: "Holdfast worker immutable repository",
    description: "Read, write, protect and clean up a repository where versions are kept.",
    holder: "workers",
    grants: [{ methods: storeMethods }, { methods: ["ProbeConnection.ask"], on: [blobs] }],
  },
  {
    file: "holdfast-worker-disks",
    name: "Holdfast worker disks",
    description: "Read snapshots and fill disks whose data access mode is Microsoft Entra ID.",
    holder: "workers",
    grants: [
      {
        methods: [
          "DiskDataReader.readSizeBytes",
          "DiskDataReader.read",
          "DiskDataReader.listAllocated",
          "DiskDataReader.listChanged",
          "DiskDataWriter.write",
          "DiskDataWriter.finish",
        ],
      },
      { methods: ["ProbeConnection.ask"], on: [snapshots] },
    ],
  },
  {
    file: "holdfast-worker-key",
    name: "Holdfast worker key",
    description: "Wrap and unwrap repository keys with a key of Key Vault.",
    holder: "workers",
    grants: [{ methods: ["KeyWrapper.wrap", "KeyWrapper.unwrap"] }],
  },
];

/** Given by hand, resource by resource, with a role of Azure's own. */
export const rightsOfBuiltInRoles: ReadonlySet<string> = new Set([
  // Managed Identity Operator, on the workers' identity and on those of restored machines.
  "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
]);
