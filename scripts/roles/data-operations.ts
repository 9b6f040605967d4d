/**
 * What the methods of the storage SDKs ask of a role. Azure splits the rights: what makes containers,
 * queues and tables is an *action*, what touches their content a *data action*.
 * Sources: learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory (the
 * permissions of each operation), learn.microsoft.com/azure/role-based-access-control/permissions/storage.
 */
export interface Rights {
  readonly actions?: readonly string[];
  readonly dataActions?: readonly string[];
}

const account = "Microsoft.Storage/storageAccounts";
const containers = `${account}/blobServices/containers`;
const blobs = `${containers}/blobs`;
const queues = `${account}/queueServices/queues`;
const messages = `${queues}/messages`;
const tables = `${account}/tableServices/tables`;
const entities = `${tables}/entities`;

const nothing: Rights = {};
const readBlob: Rights = { dataActions: [`${blobs}/read`] };
// "write, or add to create a new one": what overwrites needs `write`.
const writeBlob: Rights = { dataActions: [`${blobs}/write`] };

/** By class and method; what is not here is an error, so that nobody forgets to say it. */
const methods: Readonly<Record<string, Rights>> = {
  "BlobServiceClient.getContainerClient": nothing,
  "BlobServiceClient.getUserDelegationKey": {
    actions: [`${account}/blobServices/generateUserDelegationKey/action`],
  },
  "BlobSASPermissions.parse": nothing,
  "ContainerClient.getBlobClient": nothing,
  "ContainerClient.getBlockBlobClient": nothing,
  "ContainerClient.createIfNotExists": { actions: [`${containers}/write`] },
  "ContainerClient.getProperties": { actions: [`${containers}/read`] },
  "ContainerClient.listBlobsFlat": readBlob,
  // Versions are looked for to be deleted.
  "BlobClient.withVersion": { dataActions: [`${blobs}/deleteBlobVersion/action`] },
  // Acquires, renews and releases; nothing else can be done with one.
  "BlobClient.getBlobLeaseClient": writeBlob,
  "BlobClient.generateUserDelegationSasUrl": nothing,
  "BlobClient.download": readBlob,
  "BlobClient.downloadToBuffer": readBlob,
  "BlobClient.exists": readBlob,
  "BlobClient.getProperties": readBlob,
  "BlobClient.delete": { dataActions: [`${blobs}/delete`] },
  "BlobClient.deleteIfExists": { dataActions: [`${blobs}/delete`] },
  // The source is read with the caller's token, too.
  "BlobClient.beginCopyFromURL": { dataActions: [`${blobs}/read`, `${blobs}/write`] },
  "BlobClient.setImmutabilityPolicy": {
    dataActions: [`${blobs}/immutableStorage/runAsSuperUser/action`],
  },
  "BlockBlobClient.upload": writeBlob,
  "BlockBlobClient.stageBlock": writeBlob,
  "BlockBlobClient.commitBlockList": writeBlob,
  "QueueServiceClient.getQueueClient": nothing,
  "QueueClient.createIfNotExists": { actions: [`${queues}/write`] },
  "QueueClient.deleteIfExists": { actions: [`${queues}/delete`] },
  "QueueClient.receiveMessages": { dataActions: [`${messages}/process/action`] },
  "QueueClient.deleteMessage": { dataActions: [`${messages}/process/action`] },
  "QueueClient.sendMessage": { dataActions: [`${messages}/add/action`] },
  "TableClient.createTable": { actions: [`${tables}/write`] },
  "TableClient.createEntity": { dataActions: [`${entities}/add/action`] },
  "TableClient.upsertEntity": {
    dataActions: [`${entities}/add/action`, `${entities}/update/action`],
  },
  "TableClient.updateEntity": { dataActions: [`${entities}/update/action`] },
  "TableClient.deleteEntity": { dataActions: [`${entities}/delete`] },
  "TableClient.getEntity": { dataActions: [`${entities}/read`] },
  "TableClient.listEntities": { dataActions: [`${entities}/read`] },
};

/** Packages whose classes stand in the table above. */
export const dataPackages: readonly string[] = [
  "@azure/storage-blob",
  "@azure/storage-queue",
  "@azure/data-tables",
];

/** @throws Error for a method that nobody has looked up yet */
export function rightsOfMethod(name: string): Rights {
  const rights = methods[name];
  if (rights === undefined) {
    throw new Error(`say in scripts/roles/data-operations.ts what ${name} asks of a role`);
  }
  return rights;
}
