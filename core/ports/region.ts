/**
 * What a region needs before a worker can run in it. Implemented in `azure/network` and
 * `azure/storage`; the same obligations as in `compute.ts` (start, read, idempotent).
 */
import type { ProvisioningState } from "./compute.ts";

export interface WorkerNetworkState {
  readonly virtualNetworkId: string;
  readonly subnetId: string;
  readonly addressPrefix: string;
  readonly provisioning: ProvisioningState;
}

export interface WorkerNetworkRequest {
  readonly virtualNetworkId: string;
  readonly subnetName: string;
  readonly networkSecurityGroupId: string;
  readonly location: string;
  readonly addressPrefix: string;
  readonly tags: Readonly<Record<string, string>>;
}

export interface StagingAccountState {
  readonly accountId: string;
  readonly name: string;
  readonly location: string;
  readonly provisioning: ProvisioningState;
  /** Service endpoints as the account reports them (`primaryEndpoints`). */
  readonly blobServiceUrl: string;
  readonly queueServiceUrl: string;
}

export interface StagingAccountRequest {
  readonly accountId: string;
  readonly location: string;
  readonly tags: Readonly<Record<string, string>>;
}

export interface RegionPort {
  readNetwork(
    virtualNetworkId: string,
    subnetName: string,
  ): Promise<WorkerNetworkState | undefined>;
  /** Creates NSG, VNet and subnet (`defaultOutboundAccess: false`) as far as they are missing. */
  startNetwork(request: WorkerNetworkRequest): Promise<void>;
  /** The account in this location and resource group that carries the tag. */
  findStagingAccount(
    resourceGroupId: string,
    location: string,
    tagName: string,
    tagValue: string,
  ): Promise<StagingAccountState | undefined>;
  startStagingAccount(request: StagingAccountRequest): Promise<void>;
}
