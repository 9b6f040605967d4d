import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ComputeManagementClient } from "@azure/arm-compute";
import type { VirtualMachine } from "@azure/arm-compute";
import { NetworkManagementClient } from "@azure/arm-network";
import type { TokenCredential } from "@azure/core-auth";
import { startDiskDataPlane } from "#local/disks/data-plane.ts";
import { openDiskService, type LocalDiskService } from "#local/disks/local-disk-service.ts";
import { startInstanceMetadataEndpoint } from "#local/identity/instance-metadata-endpoint.ts";
import type { Principal } from "#local/identity/principals.ts";
import { PrincipalRegistry } from "#local/identity/principal-registry.ts";
import { openTokenService } from "#local/identity/token-service.ts";
import {
  createComputeProvider,
  type ComputeProvider,
} from "#local/resource-manager/compute/compute-provider.ts";
import type { CoreQuota } from "#local/resource-manager/compute/compute-services.ts";
import type { ResourceProvider } from "#local/resource-manager/provider.ts";
import { networkProvider } from "#local/resource-manager/network/provider.ts";
import {
  startResourceManager,
  type ResourceManager,
} from "#local/resource-manager/resource-manager.ts";
import { diskAuthorizationOf } from "#local/stack/disk-authorization.ts";
import { ensureServerTls } from "#local/tls/authority.ts";
import { openVmHost, type VmHost } from "#local/vm-host/vm-host.ts";

const subscriptionId = "11111111-1111-4111-8111-111111111111";
export const region = "westeurope";
export const group = "compute-tests";

export interface ComputeCloud extends AsyncDisposable {
  readonly client: ComputeManagementClient;
  readonly network: NetworkManagementClient;
  /** The operator's, who owns the subscription. */
  readonly credential: TokenCredential;
  /** @param audience Resource Manager's when not given */
  credentialOf(principal: Principal, audience?: string): TokenCredential;
  readonly disks: LocalDiskService;
  readonly host: VmHost;
  readonly provider: ComputeProvider;
  readonly manager: ResourceManager;
  readonly directory: string;
  /** Moves the cloud's clock, e.g. to refill buckets. */
  advance(milliseconds: number): void;
  /** Seeds a NIC and answers its id. */
  nic(name: string, location?: string): string;
  /** Stops everything; with `keep` the directory and the guests stay for a next life. */
  close(keep?: boolean): Promise<void>;
}

export interface ComputeCloudOptions {
  /** A directory that an earlier life kept. */
  readonly directory?: string;
  readonly moreProviders?: readonly ResourceProvider[];
  readonly coreQuota?: (location: string) => CoreQuota;
}

/** Resource Manager with the compute provider over TLS, and an SDK client that owns the subscription. */
export async function startComputeCloud(options: ComputeCloudOptions = {}): Promise<ComputeCloud> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), "compute-")));
  const tls = await ensureServerTls({ directory: join(directory, "tls") });
  let offsetMs = 0;
  const now = () => new Date(Date.now() + offsetMs);
  const disks = await openDiskService({
    stateDirectory: join(directory, "disks"),
    now,
    random: (byteCount) => randomBytes(byteCount),
  });
  const tokens = await openTokenService({ path: join(directory, "tenant.json") });
  const started: { manager?: ResourceManager } = {};
  const plane = await startDiskDataPlane({
    service: disks,
    key: tls.key,
    cert: tls.certificate,
    host: "127.0.0.1",
    port: 0,
    tokenPolicy: diskAuthorizationOf(tokens, () => started.manager?.resources),
  });
  const principals = new PrincipalRegistry(join(directory, "principals.json"));
  const operator = principals.create({ kind: "User", displayName: "operator" });
  const host = await openVmHost({
    stateDirectory: join(directory, "machines"),
    trustedCertificatesFile: tls.caPath,
    terminationGraceMs: 300,
  });
  let keepGuests = false;
  const provider = createComputeProvider({
    disks,
    host,
    openMetadata: (vm, port) => startInstanceMetadataEndpoint({ tokens, vm, port }),
    get keepGuestsOnStop() {
      return keepGuests;
    },
    ...(options.coreQuota === undefined ? {} : { coreQuota: options.coreQuota }),
  });
  const manager = await startResourceManager({
    stateDirectory: directory,
    listen: { tls },
    tokens,
    principals,
    subscriptions: [{ subscriptionId, displayName: "tests" }],
    providers: [provider, networkProvider, ...(options.moreProviders ?? [])],
    timing: { minimumPolls: 1, operationLatencyMs: 0, retryAfterSeconds: 0 },
    generalLimits: {
      reads: { capacity: 10_000, refillPerMinute: 1 },
      writes: { capacity: 10_000, refillPerMinute: 1 },
      deletes: { capacity: 10_000, refillPerMinute: 1 },
    },
    now,
  });
  started.manager = manager;
  const scope = `/subscriptions/${subscriptionId}`;
  manager.assignRole({ principalId: operator.objectId, role: "Owner", scope });
  manager.seedGroup({ subscriptionId, name: group, location: region });
  const credentialOf = (
    { objectId, clientId }: Principal,
    audience = "https://management.azure.com",
  ): TokenCredential => {
    return {
      getToken: async () => ({
        token: (await tokens.issueToken({ oid: objectId, appId: clientId, audience })).token,
        expiresOnTimestamp: Date.now() + 3_600_000,
      }),
    };
  };
  const credential = credentialOf(operator);
  const clientOptions = {
    endpoint: manager.endpoint,
    tlsOptions: { ca: tls.ca },
    retryOptions: { maxRetries: 0 },
  };
  const client = new ComputeManagementClient(credential, subscriptionId, clientOptions);
  const network = new NetworkManagementClient(credential, subscriptionId, clientOptions);
  const close = async (keep = false) => {
    keepGuests = keep;
    await manager[Symbol.asyncDispose]();
    principals[Symbol.dispose]();
    await plane.close();
    await disks.close();
    if (!keep) await rm(directory, { recursive: true, force: true });
  };
  return {
    client,
    network,
    credential,
    credentialOf,
    disks,
    host,
    provider,
    manager,
    directory,
    advance: (milliseconds) => void (offsetMs += milliseconds),
    nic: (name, location = region) =>
      manager.resources.put(resourceId("Microsoft.Network/networkInterfaces", name), {
        body: { location, properties: { provisioningState: "Succeeded" } },
      }).id,
    close,
    [Symbol.asyncDispose]: () => close(),
  };
}

export function resourceId(type: string, name: string): string {
  return `/subscriptions/${subscriptionId}/resourceGroups/${group}/providers/${type}/${name}`;
}

export function diskId(name: string): string {
  return resourceId("Microsoft.Compute/disks", name);
}

export function vmId(name: string): string {
  return resourceId("Microsoft.Compute/virtualMachines", name);
}

/** Fast polling: the simulated operations take no time. */
export const quick = { updateIntervalInMs: 1 };

/** What a refused call answers, `409 OperationNotAllowed`; `failed <code>` when its operation failed. */
export async function refusalOf(call: PromiseLike<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (error instanceof Error && "statusCode" in error) {
      const code = "code" in error ? String(error.code) : "";
      return `${String(error.statusCode)} ${code}`;
    }
    const failure = /long-running operation has failed\. (\w+)\./.exec(String(error));
    if (failure !== null) return `failed ${failure[1] ?? ""}`;
    throw error;
  }
  return "accepted";
}

export async function createEmptyDisk(
  cloud: ComputeCloud,
  name: string,
  more: { location?: string; zones?: string[]; osType?: "Linux"; diskSizeGB?: number } = {},
): Promise<string> {
  const { location = region, diskSizeGB = 1, ...rest } = more;
  const disk = await cloud.client.disks.createOrUpdate(
    group,
    name,
    { location, diskSizeGB, creationData: { createOption: "Empty" }, ...rest },
    quick,
  );
  return disk.id ?? "";
}

/** Body of a VM made of disks that exist. */
export function attachBody(
  osDisk: string,
  nics: readonly string[],
  dataDisks: readonly { lun: number; id: string }[] = [],
): VirtualMachine {
  return {
    location: region,
    hardwareProfile: { vmSize: "Standard_B1s" },
    storageProfile: {
      osDisk: { createOption: "Attach", osType: "Linux", managedDisk: { id: osDisk } },
      dataDisks: dataDisks.map(({ lun, id }) => ({
        lun,
        createOption: "Attach" as const,
        managedDisk: { id },
      })),
    },
    networkProfile: { networkInterfaces: nics.map((id, index) => ({ id, primary: index === 0 })) },
  };
}

/** Body of a VM made from an image: what the control plane sends for a worker. */
export function imageBody(nic: string, more: Partial<VirtualMachine> = {}): VirtualMachine {
  return {
    location: region,
    hardwareProfile: { vmSize: "Standard_F2s_v2" },
    storageProfile: {
      imageReference: {
        publisher: "Canonical",
        offer: "ubuntu-24_04-lts",
        sku: "server",
        version: "24.04.202610140",
      },
      osDisk: { createOption: "FromImage", deleteOption: "Delete" },
    },
    osProfile: {
      computerName: "guest",
      adminUsername: "operator",
      linuxConfiguration: {
        disablePasswordAuthentication: true,
        ssh: {
          publicKeys: [
            {
              path: "/home/operator/.ssh/authorized_keys",
              keyData: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB test",
            },
          ],
        },
      },
    },
    networkProfile: { networkInterfaces: [{ id: nic, primary: true, deleteOption: "Delete" }] },
    ...more,
  };
}
