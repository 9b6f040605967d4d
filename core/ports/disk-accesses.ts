/**
 * Disk accesses and their private endpoints, as the control plane needs them. Implemented in
 * `azure/network`; the same obligations as in `compute.ts` (start, read, idempotent).
 */
import type { ProvisioningState } from "./compute.ts";

/** What a private endpoint and its target agreed on. */
export type ConnectionState = "approved" | "pending" | "rejected" | "disconnected";

export interface DiskEndpointState {
  readonly endpointId: string;
  readonly provisioning: ProvisioningState;
  readonly connection: ConnectionState;
  /** Of the DNS zone group that writes the records; `undefined` when there is none. */
  readonly zoneGroup: ProvisioningState | undefined;
}

export interface DiskAccessState {
  readonly diskAccessId: string;
  readonly name: string;
  readonly location: string;
  readonly provisioning: ProvisioningState;
  readonly tags: Readonly<Record<string, string>>;
}

export interface DiskAccessRequest {
  readonly diskAccessId: string;
  readonly location: string;
  readonly tags: Readonly<Record<string, string>>;
}

export interface DiskEndpointRequest {
  readonly endpointId: string;
  readonly diskAccessId: string;
  readonly subnetId: string;
  readonly location: string;
  readonly tags: Readonly<Record<string, string>>;
}

export interface DiskAccessPort {
  /** Those of the resource group that carry the tag; none when there is no such group. */
  listDiskAccesses(
    resourceGroupId: string,
    tagName: string,
    tagValue: string,
  ): AsyncIterable<DiskAccessState>;
  startDiskAccess(request: DiskAccessRequest): Promise<void>;
  startDeleteDiskAccess(diskAccessId: string): Promise<void>;

  readDiskEndpoint(endpointId: string): Promise<DiskEndpointState | undefined>;
  startDiskEndpoint(request: DiskEndpointRequest): Promise<void>;
  /** Has Azure keep the endpoint's records in this private DNS zone. */
  startDiskZoneGroup(endpointId: string, privateDnsZoneId: string): Promise<void>;
  startDeleteDiskEndpoint(endpointId: string): Promise<void>;
}
