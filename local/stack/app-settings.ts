import type { StorageEndpoints } from "#local/storage/storage-backend.ts";
import { otherSubscriptionId, type Deployment } from "./deployment.ts";
import { repositorySecretName, type StackSecrets } from "./secrets.ts";

export const apiAudience = "api://holdfast";
/** A version that the simulated marketplace has; Azure's own list moves. */
const workerImageUrn = "Canonical:ubuntu-24_04-lts:server:24.04.202511010";

export interface AppEnvironment {
  readonly deployment: Deployment;
  readonly secrets: StackSecrets;
  readonly controlAccount: StorageEndpoints;
  /** For the host's own storage: the one place with a connection string, as in Azure's own samples. */
  readonly hostStorageConnectionString: string;
  readonly resourceManagerUrl: string;
  /** App Service's token endpoint, and the secret that it asks for. */
  readonly identityEndpoint: string;
  readonly identityHeader: string;
  readonly apiIssuer: string;
  readonly apiKeySetUrl: string;
  /** PEM file that every client of the stack trusts. */
  readonly authorityFile: string;
}

/**
 * The app's settings on a local stack: those of a deployment in Azure, with times that suit a demo,
 * and what App Service puts into every app's environment.
 */
export function appSettings(environment: AppEnvironment): Record<string, string> {
  const { deployment, secrets, controlAccount } = environment;
  return {
    AzureWebJobsStorage: environment.hostStorageConnectionString,
    FUNCTIONS_WORKER_RUNTIME: "node",
    HOLDFAST_STORAGE__blobServiceUri: controlAccount.blob,
    HOLDFAST_STORAGE__queueServiceUri: controlAccount.queue,
    HOLDFAST_STORAGE__tableServiceUri: controlAccount.table,
    HOLDFAST_STORAGE__credential: "managedidentity",
    HOLDFAST_STORAGE__clientId: deployment.controlPlaneIdentity.clientId,
    AZURE_CLIENT_ID: deployment.controlPlaneIdentity.clientId,
    HOLDFAST_CONTROL_PLANE_ID: secrets.controlPlaneId,
    HOLDFAST_SUBSCRIPTION_IDS: `${deployment.subscriptionId},${otherSubscriptionId}`,
    HOLDFAST_WORKER_RESOURCE_GROUP_ID: deployment.workerResourceGroupId,
    HOLDFAST_WORKER_IDENTITY_ID: deployment.workerIdentity.resourceId,
    HOLDFAST_WORKER_CLIENT_ID: deployment.workerIdentity.clientId,
    HOLDFAST_CONTROL_NETWORK_ID: deployment.controlNetwork.networkId,
    HOLDFAST_ENDPOINT_SUBNET_ID: deployment.controlNetwork.endpointSubnetId,
    HOLDFAST_PRIVATE_DNS_GROUP_ID: deployment.controlNetwork.zoneGroupId,
    HOLDFAST_CONTROL_ACCOUNT_ID: deployment.controlAccountId,
    HOLDFAST_WORKER_VM_SIZE: "Standard_F4s_v2",
    HOLDFAST_WORKER_IMAGE_URN: workerImageUrn,
    HOLDFAST_WORKER_IDLE_SECONDS: "10",
    HOLDFAST_HEARTBEAT_SECONDS: "2",
    HOLDFAST_WORKER_LOST_SECONDS: "12",
    HOLDFAST_POLL_SECONDS: "1",
    HOLDFAST_RETRIEVAL_LOOK_SECONDS: "5",
    HOLDFAST_MASTER_KEY: secrets.masterKey,
    [`HOLDFAST_SECRET_${repositorySecretName.toUpperCase()}`]: secrets.repositoryPassword,
    HOLDFAST_API_ISSUER: environment.apiIssuer,
    HOLDFAST_API_AUDIENCE: apiAudience,
    HOLDFAST_API_JWKS_URI: environment.apiKeySetUrl,
    HOLDFAST_RESOURCE_MANAGER_URL: environment.resourceManagerUrl,
    HOLDFAST_SCHEDULE_TICK: "*/10 * * * * *",
    HOLDFAST_SWEEP_TICK: "*/10 * * * * *",
    IDENTITY_ENDPOINT: environment.identityEndpoint,
    IDENTITY_HEADER: environment.identityHeader,
    NODE_EXTRA_CA_CERTS: environment.authorityFile,
  };
}
