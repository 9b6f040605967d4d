/** Where the bytes of a stack are: storage accounts and disks, and who may reach them. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { startDiskDataPlane, type DiskDataPlane } from "#local/disks/data-plane.ts";
import { openDiskService, type LocalDiskService } from "#local/disks/local-disk-service.ts";
import type { TokenService } from "#local/identity/token-service.ts";
import type { ResourceStore } from "#local/resource-manager/provider.ts";
import { AzuriteBackend } from "#local/storage/azurite-backend.ts";
import type { ServerTls } from "#local/tls/authority.ts";
import { diskAuthorizationOf } from "./disk-authorization.ts";
import type { EndpointOrigins } from "./network-origins.ts";
import { mayReachDisk, storageNetworkOf } from "./network-rules.ts";
import type { StackPorts } from "./ports.ts";
import { storageAccessOf } from "./storage-access.ts";

export interface DataPlanesOptions {
  readonly stateDirectory: string;
  readonly logDirectory: string;
  readonly host: string;
  readonly ports: StackPorts;
  readonly tls: ServerTls;
  readonly origins: EndpointOrigins;
  readonly tokens: TokenService;
}

export interface DataPlanes extends AsyncDisposable {
  readonly storage: AzuriteBackend;
  readonly disks: LocalDiskService;
  readonly dataPlane: DiskDataPlane;
  /** What this table says of networks holds from now on. */
  enforce(resources: ResourceStore): Promise<void>;
}

export async function startDataPlanes(options: DataPlanesOptions): Promise<DataPlanes> {
  const { stateDirectory, host, ports, tls, origins, tokens } = options;
  let resources: ResourceStore | undefined;
  await using parts = new AsyncDisposableStack();
  const storage = await AzuriteBackend.start({
    stateDirectory: join(stateDirectory, "storage"),
    logFile: join(options.logDirectory, "storage.log"),
    ports,
    tls: {
      certificateFile: tls.certificatePath,
      keyFile: tls.keyPath,
      authorityFile: tls.caPath,
    },
  });
  parts.defer(() => storage.stop());
  const disks = await openDiskService({
    stateDirectory: join(stateDirectory, "disks"),
    now: () => new Date(),
    random: (byteCount) => randomBytes(byteCount),
  });
  parts.defer(() => disks.close());
  const dataPlane = await startDiskDataPlane({
    service: disks,
    key: tls.key,
    cert: tls.certificate,
    host,
    port: ports.disks,
    networkPolicy: ({ id }, socket) =>
      resources === undefined || mayReachDisk(resources, origins, id, socket.remoteAddress),
    tokenPolicy: diskAuthorizationOf(tokens, () => resources),
  });
  parts.defer(() => dataPlane.close());
  const running = parts.move();
  return {
    storage,
    disks,
    dataPlane,
    enforce: async (table) => {
      resources = table;
      await storage.setRules(storageNetworkOf(table, origins), storageAccessOf(table));
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
