import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tls from "node:tls";
import type { AccessToken, TokenCredential } from "@azure/core-auth";
import { PrincipalRegistry } from "#local/identity/principal-registry.ts";
import type { Principal } from "#local/identity/principals.ts";
import { openTokenService, type TokenService } from "#local/identity/token-service.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "#local/resource-manager/json.ts";
import { managedIdentityProvider } from "#local/resource-manager/managed-identity/provider.ts";
import { networkProvider } from "#local/resource-manager/network/provider.ts";
import {
  startResourceManager,
  type ResourceManager,
  type ResourceManagerOptions,
} from "#local/resource-manager/resource-manager.ts";
import type { StorageEntity } from "#local/resource-manager/storage/account-services.ts";
import { storageProvider } from "#local/resource-manager/storage/provider.ts";
import type { ProtectionChange, StorageBackend } from "#local/storage/storage-backend.ts";
import { ensureServerTls, type ServerTls } from "#local/tls/authority.ts";

export const subscriptionId = "11111111-2222-3333-4444-555555555555";
export const groupName = "Backup-RG";
export const groupId = `/subscriptions/${subscriptionId}/resourceGroups/${groupName}`;
export const networkVersion = "2026-01-01";
export const storageVersion = "2026-09-01";

/** Keeps accounts in memory, so that tests need no storage emulator. */
export class MemoryStorage implements StorageBackend {
  readonly accounts = new Map<string, string>();
  readonly entities: string[] = [];
  readonly protections: ({ readonly name: string } & ProtectionChange)[] = [];

  async createAccount(name: string): Promise<{ key: string }> {
    const key = this.accounts.get(name) ?? randomBytes(64).toString("base64");
    this.accounts.set(name, key);
    return { key };
  }

  async deleteAccount(name: string): Promise<void> {
    this.accounts.delete(name);
  }

  async protectAccount(name: string, change: ProtectionChange): Promise<void> {
    this.protections.push({ name, ...change });
  }

  endpoints(name: string): { blob: string; queue: string; table: string } {
    if (!this.accounts.has(name)) throw new Error(`no account ${name}`);
    const at = (port: number) => `https://127.0.0.1:${port}/${name}/`;
    return { blob: at(1), queue: at(2), table: at(3) };
  }

  async create({ account, kind, name }: StorageEntity): Promise<void> {
    this.entities.push(`${account}/${kind}/${name}`);
  }

  async delete({ account, kind, name }: StorageEntity): Promise<void> {
    const at = this.entities.indexOf(`${account}/${kind}/${name}`);
    if (at !== -1) this.entities.splice(at, 1);
  }
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: JsonObject;
  /** `error.code` of a refusal. */
  readonly code: string | undefined;
  readonly message: string;
}

export interface RawRequest {
  readonly method?: string;
  /** Absolute, or a path below the endpoint. */
  readonly path: string;
  /** Default: the owner's token. `null`: no header. */
  readonly token?: string | null;
  readonly body?: JsonValue;
  readonly headers?: Readonly<Record<string, string>>;
}

type Settings = Partial<Omit<ResourceManagerOptions, "listen" | "stateDirectory">>;

/** A whole simulated cloud in one process, with one owner, for one test file. */
export class SimulatedCloud implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "holdfast-cloud-"));
  readonly storage = new MemoryStorage();
  manager!: ResourceManager;
  tokens!: TokenService;
  principals!: PrincipalRegistry;
  certificates!: ServerTls;
  owner!: Principal;

  static async start(settings: Settings = {}): Promise<SimulatedCloud> {
    const cloud = new SimulatedCloud();
    cloud.certificates = await ensureServerTls({ directory: join(cloud.directory, "tls") });
    tls.setDefaultCACertificates([...tls.getCACertificates("default"), cloud.certificates.ca]);
    cloud.tokens = await openTokenService({ path: join(cloud.directory, "key.json") });
    cloud.principals = new PrincipalRegistry(join(cloud.directory, "principals.json"));
    cloud.owner = cloud.principals.create({ kind: "User", displayName: "Owner" });
    await cloud.startManager(settings);
    cloud.manager.seedGroup({ subscriptionId, name: groupName, location: "westeurope" });
    const scope = `/subscriptions/${subscriptionId}`;
    cloud.manager.assignRole({ principalId: cloud.owner.objectId, role: "Owner", scope });
    return cloud;
  }

  /** Starts the manager on the state that is on the disk. */
  async startManager(settings: Settings = {}): Promise<void> {
    this.manager = await startResourceManager({
      stateDirectory: this.directory,
      listen: { tls: this.certificates },
      tokens: this.tokens,
      principals: this.principals,
      subscriptions: [{ subscriptionId, displayName: "Test" }],
      providers: [
        networkProvider,
        managedIdentityProvider,
        storageProvider({ backend: this.storage, entities: this.storage }),
      ],
      ...settings,
      timing: { minimumPolls: 2, operationLatencyMs: 5, retryAfterSeconds: 0, ...settings.timing },
    });
  }

  /** Makes a principal with roles on scopes. */
  principalWith(...roles: readonly { role: string; scope: string }[]): Principal {
    const principal = this.principals.create({
      kind: "ServicePrincipal",
      displayName: randomUUID(),
    });
    for (const { role, scope } of roles)
      this.manager.assignRole({ principalId: principal.objectId, role, scope });
    return principal;
  }

  async tokenOf(principal: Principal, audience = "https://management.azure.com"): Promise<string> {
    const issued = await this.tokens.issueToken({
      oid: principal.objectId,
      appId: principal.clientId,
      audience,
    });
    return issued.token;
  }

  credentialOf(principal: Principal): TokenCredential {
    return {
      getToken: async (): Promise<AccessToken> => ({
        token: await this.tokenOf(principal),
        expiresOnTimestamp: Date.now() + 3_600_000,
      }),
    };
  }

  async send(wanted: RawRequest): Promise<RawAnswer> {
    const token = wanted.token === undefined ? await this.tokenOf(this.owner) : wanted.token;
    const url = new URL(wanted.path, this.manager.endpoint);
    const text = wanted.body === undefined ? undefined : JSON.stringify(wanted.body);
    const headers = {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(text === undefined ? {} : { "content-type": "application/json" }),
      ...wanted.headers,
    };
    return new Promise((resolve, reject) => {
      const request = httpsRequest(
        url,
        { method: wanted.method ?? "GET", headers, ca: this.certificates.ca, agent: false },
        (response) => {
          const parts: Buffer[] = [];
          response.on("data", (part: Buffer) => parts.push(part));
          response.on("end", () => {
            const raw = Buffer.concat(parts).toString();
            const parsed: unknown = raw === "" ? {} : JSON.parse(raw);
            const body = isJsonObject(parsed) ? parsed : {};
            const error = isJsonObject(body["error"]) ? body["error"] : {};
            const { code, message } = error;
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body,
              code: typeof code === "string" ? code : undefined,
              message: typeof message === "string" ? message : "",
            });
          });
        },
      );
      request.on("error", reject);
      request.end(text);
    });
  }

  /** Path of a resource of the test group: `Microsoft.Network/virtualNetworks/v`. */
  path(resource: string, apiVersion = networkVersion): string {
    return `${groupId}/providers/${resource}?api-version=${apiVersion}`;
  }

  async put(resource: string, body: JsonValue, apiVersion?: string): Promise<RawAnswer> {
    return this.send({ method: "PUT", path: this.path(resource, apiVersion), body });
  }

  /** Puts and waits until nothing runs; throws when refused. */
  async make(resource: string, body: JsonValue, apiVersion?: string): Promise<RawAnswer> {
    const answer = await this.put(resource, body, apiVersion);
    if (answer.status >= 300) throw new Error(`${resource}: ${answer.status} ${answer.message}`);
    await this.manager.operations.idle();
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.manager[Symbol.asyncDispose]();
    this.principals[Symbol.dispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A virtual network with one subnet. */
export function networkBody(subnetPrefix = "10.1.0.0/24"): JsonObject {
  return {
    location: "westeurope",
    properties: {
      addressSpace: { addressPrefixes: ["10.1.0.0/16"] },
      subnets: [
        {
          name: "workers",
          properties: { addressPrefix: subnetPrefix, defaultOutboundAccess: false },
        },
      ],
    },
  };
}

export function interfaceBody(subnetId: string, more: JsonObject = {}): JsonObject {
  return {
    location: "westeurope",
    properties: {
      ipConfigurations: [{ name: "ipconfig1", properties: { subnet: { id: subnetId }, ...more } }],
    },
  };
}
