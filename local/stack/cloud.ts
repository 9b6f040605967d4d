/**
 * The simulated Azure of one stack, without the product: storage, disks, identity, Resource Manager
 * and the hosts of virtual machines, started in the order in which they need each other.
 */
import { join } from "node:path";
import type { DiskDataPlane } from "#local/disks/data-plane.ts";
import type { LocalDiskService } from "#local/disks/local-disk-service.ts";
import { startInstanceMetadataEndpoint } from "#local/identity/instance-metadata-endpoint.ts";
import { startOpenIdServer, type OpenIdServer } from "#local/identity/openid-server.ts";
import { PrincipalRegistry } from "#local/identity/principal-registry.ts";
import type { Principal } from "#local/identity/principals.ts";
import { openTokenService, type TokenService } from "#local/identity/token-service.ts";
import { createComputeProvider } from "#local/resource-manager/compute/compute-provider.ts";
import type { ExportPeaks } from "#local/resource-manager/compute/export-peaks.ts";
import { managedIdentityProvider } from "#local/resource-manager/managed-identity/provider.ts";
import { networkProvider } from "#local/resource-manager/network/provider.ts";
import { dataPlaneEntities } from "#local/resource-manager/storage/data-plane-entities.ts";
import { storageProvider } from "#local/resource-manager/storage/provider.ts";
import {
  startResourceManager,
  type ResourceManager,
} from "#local/resource-manager/resource-manager.ts";
import type { AzuriteBackend } from "#local/storage/azurite-backend.ts";
import type { ServerTls } from "#local/tls/authority.ts";
import { openVmHost, type GuestNetworks, type VmHost } from "#local/vm-host/vm-host.ts";
import { ArmClient } from "./arm-client.ts";
import { storageEndpointsOf } from "./azure-names.ts";
import { startDataPlanes } from "./data-planes.ts";
import { otherSubscriptionId, subscriptionId } from "./deployment.ts";
import { EndpointOrigins } from "./network-origins.ts";
import type { PrivateNetwork } from "./private-network.ts";
import type { StackPorts } from "./ports.ts";

export interface CloudOptions {
  readonly stateDirectory: string;
  readonly logDirectory: string;
  readonly ports: StackPorts;
  readonly tls: ServerTls;
  /** With it, guests run in networks of their own and services have their names of Azure. */
  readonly privateNetwork?: PrivateNetwork | undefined;
}

export interface Cloud extends AsyncDisposable {
  readonly storage: AzuriteBackend;
  readonly disks: LocalDiskService;
  readonly dataPlane: DiskDataPlane;
  readonly principals: PrincipalRegistry;
  readonly tokens: TokenService;
  readonly tenant: OpenIdServer;
  readonly vmHost: VmHost;
  readonly resourceManager: ResourceManager;
  /** Requests as the operator, who owns the subscription. */
  readonly arm: ArmClient;
  readonly operator: Principal;
  /** Most exports at the same time, by disk access and by snapshot family. */
  readonly exportPeaks: ExportPeaks;
  /** Lets Resource Manager import a disk from this `file:` URI. */
  readonly offerFile: (uri: string) => void;
  /** Evicts a Spot VM by its resource id, as Azure does when it wants its room back. */
  readonly evict: (vmId: string) => Promise<void>;
}

const armAudience = "https://management.azure.com";
const operatorName = "Local operator";
const host = "127.0.0.1";

export async function startCloud(options: CloudOptions): Promise<Cloud> {
  const { stateDirectory, ports, tls } = options;
  const { privateNetwork } = options;
  const origins = privateNetwork?.origins ?? new EndpointOrigins();
  await using parts = new AsyncDisposableStack();
  const tokens = await openTokenService({ path: join(stateDirectory, "tenant.json") });
  const data = parts.use(await startDataPlanes({ ...options, host, origins, tokens }));
  const { storage, disks, dataPlane } = data;

  const principals = parts.use(new PrincipalRegistry(join(stateDirectory, "principals.json")));
  const operator = ensureOperator(principals);
  const tenant = parts.use(await startOpenIdServer(tokens, { host, port: ports.tenant, tls }));

  const vmHost = await openVmHost({
    stateDirectory: join(stateDirectory, "machines"),
    trustedCertificatesFile: tls.caPath,
    ...(privateNetwork === undefined ? {} : { networks: guestNetworks(privateNetwork) }),
  });
  const compute = createComputeProvider({
    disks,
    host: vmHost,
    ...(privateNetwork === undefined ? {} : { exportOrigin: exportOriginOf }),
    openMetadata: (vm, port) => startInstanceMetadataEndpoint({ tokens, vm, host, port }),
  });
  const resourceManager = parts.use(
    await startResourceManager({
      stateDirectory,
      listen: { host, port: ports.resourceManager, tls },
      tokens,
      principals,
      subscriptions: [
        { subscriptionId, displayName: "Local subscription" },
        { subscriptionId: otherSubscriptionId, displayName: "Other subscription" },
      ],
      providers: [
        compute,
        networkProvider,
        storageProvider({
          backend: storage,
          entities: dataPlaneEntities(storage),
          ...(privateNetwork === undefined ? {} : { endpointsOf: storageEndpointsOf }),
        }),
        managedIdentityProvider,
      ],
      enforce: async (context) => {
        await data.enforce(context.resources);
        await privateNetwork?.follow(context);
      },
    }),
  );
  const running = parts.move();
  return {
    storage,
    disks,
    dataPlane,
    principals,
    tokens,
    tenant,
    vmHost,
    resourceManager,
    arm: operatorClient(resourceManager, { operator, tokens }),
    operator,
    exportPeaks: compute.exportPeaks,
    offerFile: (uri) => compute.offerFile(uri),
    evict: (vmId) => compute.evict(vmId),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function guestNetworks(network: PrivateNetwork): GuestNetworks {
  return {
    enter: (vmId, metadataEndpoint) =>
      network.enterVm(
        vmId,
        metadataEndpoint === undefined ? undefined : Number(new URL(metadataEndpoint).port),
      ),
    leave: (vmId) => network.leave(vmId),
  };
}

/** What has no disk access is exported from a host that everybody reaches. */
function exportOriginOf(diskAccessHost: string | undefined): string {
  return `https://${diskAccessHost ?? "md-public.z1.blob.storage.azure.net"}`;
}

function ensureOperator(principals: PrincipalRegistry): Principal {
  return (
    principals.list().find(({ displayName }) => displayName === operatorName) ??
    principals.create({ kind: "User", displayName: operatorName })
  );
}

/** A client that owns the subscription. */
function operatorClient(
  resourceManager: ResourceManager,
  { operator, tokens }: { operator: Principal; tokens: TokenService },
): ArmClient {
  const { objectId, clientId } = operator;
  for (const id of [subscriptionId, otherSubscriptionId]) {
    const scope = `/subscriptions/${id}`;
    resourceManager.assignRole({ principalId: objectId, role: "Owner", scope });
  }
  const request = { oid: objectId, appId: clientId, audience: armAudience };
  return new ArmClient({
    endpoint: resourceManager.endpoint,
    readToken: async () => (await tokens.issueToken(request)).token,
  });
}
