/**
 * A *stack* is one simulated Azure with the product in it. All of its state is in one *state
 * directory*, which one process owns at a time; a stack started again on the same directory goes on
 * where the last one ended. Stacks on different directories know nothing of each other. Stopping
 * leaves no process, no open port and no lock.
 */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { enterAppNetwork } from "./stack/app-network.ts";
import {
  certificateNames,
  resourceManagerHost,
  storageEndpointsOf,
  tenantHost,
} from "./stack/azure-names.ts";
import { PrivateNetwork } from "./stack/private-network.ts";
import type { StorageEndpoints } from "./storage/storage-backend.ts";
import { startAppServiceEndpoint } from "./identity/app-service-endpoint.ts";
import type { IssuedToken } from "./identity/token-service.ts";
import { apiAudience, appSettings } from "./stack/app-settings.ts";
import { startCloud, type Cloud } from "./stack/cloud.ts";
import type { StackAddresses, VerbHandlers, VerbOutput } from "./stack/control-protocol.ts";
import { startControlServer } from "./stack/control-server.ts";
import { deploy, otherSubscriptionId, type Deployment } from "./stack/deployment.ts";
import { Estate } from "./stack/estate.ts";
import { FunctionsProcess } from "./stack/functions-process.ts";
import { choosePorts, type StackPorts } from "./stack/ports.ts";
import { listResources } from "./stack/resource-list.ts";
import { ensureSecrets, type StackSecrets } from "./stack/secrets.ts";
import { acquireStateLock } from "./stack/state-lock.ts";
import { ensureServerTls, type ServerTls } from "./tls/authority.ts";

export interface StackOptions {
  /** Created when missing. */
  readonly stateDirectory: string;
  /** First of a row of ports, for a state directory that has none yet; free ones without it. */
  readonly portBase?: number;
  /** App settings beside or instead of the usual ones. */
  readonly settings?: Readonly<Record<string, string>>;
  /**
   * `namespaces`: the app and every worker have a network of their own that ends at private endpoints,
   * and services their names of Azure (needs root and iproute2). Default: all on the machine's loopback.
   */
  readonly network?: "loopback" | "namespaces";
  /** Whether the Functions host has a storage account of its own. Default: it shares the control account. */
  readonly hasHostAccount?: boolean;
  /** Called when a command asks the stack to stop; the owner then calls `stop`. */
  readonly onStopAsked?: () => void;
}

export interface Stack extends AsyncDisposable {
  readonly stateDirectory: string;
  readonly addresses: StackAddresses;
  readonly secrets: StackSecrets;
  readonly deployment: Deployment;
  readonly cloud: Cloud;
  /** With `namespaces` only. */
  readonly privateNetwork: PrivateNetwork | undefined;
  readonly estate: Estate;
  /** Machines in the other subscription. */
  readonly otherEstate: Estate;
  /** The host with the app: tests kill and start it. */
  readonly functions: FunctionsProcess;
  status(): VerbOutput<"status">;
  /** A token for the product's API, as an operator signed in with their account has it. */
  issueApiToken(lifetimeSeconds?: number): Promise<IssuedToken>;
  stop(): Promise<void>;
}

const appDirectory = fileURLToPath(new URL("..", import.meta.url));

/** Starts everything; resolves when the API answers. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { stateDirectory } = options;
  const startedAt = new Date();
  const logDirectory = join(stateDirectory, "logs");
  await mkdir(logDirectory, { recursive: true, mode: 0o700 });
  await using parts = new AsyncDisposableStack();
  parts.defer(await acquireStateLock(stateDirectory));
  const ports = await choosePorts(stateDirectory, options.portBase);
  const isPrivate = options.network === "namespaces";
  const tls = await ensureServerTls({
    directory: join(stateDirectory, "tls"),
    ...(isPrivate ? { names: certificateNames } : {}),
  });
  parts.defer(trust(tls));
  const secrets = await ensureSecrets(stateDirectory);
  const privateNetwork = isPrivate
    ? parts.use(await PrivateNetwork.open({ prefix: prefixOf(stateDirectory), ports }))
    : undefined;
  const cloud = parts.use(
    await startCloud({ stateDirectory, logDirectory, ports, tls, privateNetwork }),
  );
  const { hasHostAccount = false } = options;
  const deployment = await deploy(cloud.arm, { hasHostAccount });
  const functions = await startApp(
    { ...options, cloud, deployment, ports, secrets, tls, privateNetwork },
    parts,
  );
  const { estate, otherEstate } = estatesOf(cloud, deployment);
  const addresses: StackAddresses = {
    api: `http://127.0.0.1:${ports.api}/api/v1`,
    resourceManager: cloud.resourceManager.endpoint,
    issuer: cloud.tenant.issuer,
    blob: endpointsOf(cloud, isPrivate, deployment.repositoryAccountName).blob,
  };
  const stack: Omit<Stack, "stop" | typeof Symbol.asyncDispose> = {
    stateDirectory,
    addresses,
    secrets,
    deployment,
    cloud,
    privateNetwork,
    estate,
    otherEstate,
    functions,
    status: () => ({
      processId: process.pid,
      stateDirectory,
      startedAt: startedAt.toISOString(),
      functionsHost: functions.state,
      addresses,
    }),
    issueApiToken: (lifetimeSeconds) =>
      cloud.tenant.issueApiToken({
        oid: cloud.operator.objectId,
        appId: cloud.operator.clientId,
        audience: apiAudience,
        name: "Local operator",
        ...(lifetimeSeconds === undefined ? {} : { lifetimeSeconds }),
      }),
  };
  const handlers = handlersOf(stack, options.onStopAsked ?? (() => undefined));
  const control = await startControlServer({ stateDirectory, port: ports.control, handlers });
  parts.defer(() => control.close());
  const running = parts.move();
  const stop = () => running.disposeAsync();
  return { ...stack, stop, [Symbol.asyncDispose]: stop };
}

interface AppParts extends StackOptions {
  readonly cloud: Cloud;
  readonly deployment: Deployment;
  readonly ports: StackPorts;
  readonly secrets: StackSecrets;
  readonly tls: ServerTls;
  readonly privateNetwork: PrivateNetwork | undefined;
}

/** Machines in each of the two subscriptions. */
function estatesOf(cloud: Cloud, deployment: Deployment): Pick<Stack, "estate" | "otherEstate"> {
  const { arm, disks, offerFile, evict } = cloud;
  const other = {
    subscriptionId: otherSubscriptionId,
    workloadResourceGroupId: deployment.otherWorkloadResourceGroupId,
  };
  return {
    estate: new Estate({ arm, deployment, disks, offerFile, evict }),
    otherEstate: new Estate({ arm, deployment: other, disks, offerFile, evict }),
  };
}

/** A name for the machine's network namespaces that no other state directory has. */
export function prefixOf(stateDirectory: string): string {
  return `hf${createHash("sha256").update(stateDirectory).digest("hex").slice(0, 6)}`;
}

function endpointsOf(cloud: Cloud, isPrivate: boolean, account: string): StorageEndpoints {
  return isPrivate ? storageEndpointsOf(account) : cloud.storage.endpoints(account);
}

async function startApp(app: AppParts, parts: AsyncDisposableStack): Promise<FunctionsProcess> {
  const { cloud, deployment, ports, secrets, tls, privateNetwork } = app;
  const isPrivate = privateNetwork !== undefined;
  const identity = parts.use(
    await startAppServiceEndpoint({
      host: "127.0.0.1",
      port: ports.identity,
      tokens: cloud.tokens,
      identities: () => cloud.principals.list().filter(isControlPlane),
    }),
  );
  function isControlPlane({ clientId }: { clientId: string }): boolean {
    return clientId === deployment.controlPlaneIdentity.clientId;
  }
  const controlAccount = endpointsOf(cloud, isPrivate, deployment.controlAccountName);
  const { hostAccountName } = deployment;
  const hostStorageConnectionString = cloud.storage.connectionString(
    hostAccountName,
    endpointsOf(cloud, isPrivate, hostAccountName),
  );
  const appNetwork = isPrivate
    ? parts.use(await enterAppNetwork(privateNetwork, deployment, ports))
    : undefined;
  const settings = appSettings({
    deployment,
    secrets,
    controlAccount,
    hostStorageConnectionString,
    resourceManagerUrl: isPrivate
      ? `https://${resourceManagerHost}`
      : cloud.resourceManager.endpoint,
    identityEndpoint: identity.identityEndpoint,
    identityHeader: identity.identityHeader,
    apiIssuer: cloud.tenant.issuer,
    apiKeySetUrl: `${isPrivate ? `https://${tenantHost}` : cloud.tenant.origin}/${cloud.tokens.tenantId}/discovery/v2.0/keys`,
    authorityFile: tls.caPath,
  });
  const functions = new FunctionsProcess({
    appDirectory,
    port: ports.api,
    settings: { ...settings, ...app.settings },
    logFile: join(app.stateDirectory, "logs", "functions.log"),
    commandPrefix: appNetwork?.commandPrefix,
  });
  parts.defer(() => functions.kill("SIGTERM"));
  await functions.start();
  return functions;
}

function handlersOf(
  stack: Omit<Stack, "stop" | typeof Symbol.asyncDispose>,
  onStopAsked: () => void,
): VerbHandlers {
  const { estate, cloud } = stack;
  return {
    status: async () => stack.status(),
    stop: async () => {
      // After the answer: the control endpoint is the first thing that closes.
      setImmediate(onStopAsked);
      return {};
    },
    token: () => stack.issueApiToken(),
    createVm: (wanted) => estate.createVm(wanted),
    deleteVm: async ({ name }) => {
      await estate.deleteVm(name);
      return {};
    },
    evictVm: async ({ name }) => {
      await estate.evictVm(name);
      return {};
    },
    listVms: () => estate.listVms(),
    listDisks: () => estate.listDisks(),
    writeDisk: (wanted) => estate.writeDisk(wanted),
    exportDisk: (wanted) => estate.exportDisk(wanted),
    listResources: async () => [...listResources(cloud.resourceManager, cloud.disks)],
  };
}

/** Lets every TLS client of this process trust the stack's authority; answers how to end that. */
function trust({ ca }: ServerTls): () => void {
  const before = getCACertificates("default");
  setDefaultCACertificates([...before, ca]);
  return () => setDefaultCACertificates(before);
}
