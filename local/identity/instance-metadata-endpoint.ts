import { listenJson, type JsonAnswer, type ListenOptions, type Listener } from "./http-listener.ts";
import type { JsonObject, JsonValue } from "../resource-manager/json.ts";
import type { Principal } from "./principals.ts";
import type { TokenService } from "./token-service.ts";

/** What a VM's metadata service knows about its VM; asked anew at each request. */
export interface InstanceMetadata {
  /** Managed identities that are assigned to the VM now. */
  identities(): readonly Principal[];
  /** `compute` of the instance document: name, location, resourceId, vmId, tags... */
  compute(): JsonObject;
  /** `network` of the instance document. */
  network?(): JsonObject;
}

export interface InstanceMetadataOptions extends ListenOptions {
  readonly tokens: TokenService;
  readonly vm: InstanceMetadata;
}

/** Value of AZURE_POD_IDENTITY_AUTHORITY_HOST for a client on the VM is `origin`. */
export type InstanceMetadataEndpoint = Listener;

const oldestInstanceVersion = "2017-04-02";

/**
 * The Instance Metadata Service of one VM:
 * https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service
 * https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
 */
export async function startInstanceMetadataEndpoint(
  options: InstanceMetadataOptions,
): Promise<InstanceMetadataEndpoint> {
  return listenJson(options, async (request, url): Promise<JsonAnswer> => {
    if (request.method !== "GET") return refusal(405, "Method not allowed");
    if (request.headers["x-forwarded-for"] !== undefined)
      return refusal(400, "Requests with X-Forwarded-For are not served");
    if (request.headers["metadata"]?.toString().toLowerCase() !== "true")
      return refusal(400, "Required metadata header not specified");
    const version = url.searchParams.get("api-version");
    if (version === null)
      return refusal(400, "Required query parameter 'api-version' was not specified");
    const path = url.pathname.replace(/\/$/, "");
    if (path === "/metadata/identity/oauth2/token") return tokenAnswer(options, url.searchParams);
    if (path === "/metadata/instance" || path.startsWith("/metadata/instance/"))
      return instanceAnswer(options.vm, path.split("/").slice(3), version);
    return refusal(404, "Not found");
  });
}

async function tokenAnswer(
  { tokens, vm }: InstanceMetadataOptions,
  query: URLSearchParams,
): Promise<JsonAnswer> {
  const resource = query.get("resource");
  if (resource === null || resource === "")
    return refusal(400, "Required query variable 'resource' is missing");
  if (!isKnownResource(resource)) return unknownResource(resource, tokens.tenantId);
  const chosen = chooseIdentity(vm.identities(), query);
  if ("problem" in chosen) return refusal(400, chosen.problem);
  const { principal } = chosen;
  const { token, expiresOn } = await tokens.issueToken({
    oid: principal.objectId,
    appId: principal.clientId,
    audience: resource,
  });
  const seconds = String(Math.max(0, expiresOn - Math.floor(Date.now() / 1000)));
  const body = {
    access_token: token,
    client_id: principal.clientId,
    expires_in: seconds,
    expires_on: String(expiresOn),
    ext_expires_in: seconds,
    not_before: String(expiresOn - 3600),
    resource,
    token_type: "Bearer",
  };
  return { status: 200, body };
}

/** What a tenant has without anybody adding it, as far as the product could ask for it. */
const knownResources: readonly RegExp[] = [
  /^https:\/\/management\.(azure\.com|core\.windows\.net)\/?$/,
  /^https:\/\/storage\.azure\.com\/?$/,
  /^https:\/\/[a-z0-9]{3,24}\.(blob|queue|table)\.core\.windows\.net\/?$/,
  /^https:\/\/disk\.azure\.com\/?$/,
  /^https:\/\/(vault|managedhsm)\.azure\.net\/?$/,
];

function isKnownResource(resource: string): boolean {
  return knownResources.some((pattern) => pattern.test(resource));
}

/** https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#http-response-reference */
function unknownResource(resource: string, tenantId: string): JsonAnswer {
  const error_description = `AADSTS50001: The application named ${resource} was not found in the tenant named ${tenantId}.`;
  return { status: 400, body: { error: "invalid_resource", error_description } };
}

/** A request that names no identity gets the system-assigned one, else the only user-assigned one. */
function chooseIdentity(
  identities: readonly Principal[],
  query: URLSearchParams,
): { principal: Principal } | { problem: string } {
  const clientId = query.get("client_id")?.toLowerCase();
  const objectId = query.get("object_id")?.toLowerCase();
  const resourceId = (query.get("msi_res_id") ?? query.get("mi_res_id"))?.toLowerCase();
  const notFound = { problem: "Identity not found" };
  if (clientId === undefined && objectId === undefined && resourceId === undefined) {
    const system = identities.find(({ kind }) => kind === "SystemAssigned");
    if (system !== undefined) return { principal: system };
    const [only, ...others] = identities;
    if (only === undefined) return notFound;
    if (others.length === 0) return { principal: only };
    return {
      problem:
        "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request",
    };
  }
  const principal = identities.find(
    (identity) =>
      (clientId === undefined || identity.clientId === clientId) &&
      (objectId === undefined || identity.objectId === objectId) &&
      (resourceId === undefined || identity.resourceId?.toLowerCase() === resourceId),
  );
  return principal === undefined ? notFound : { principal };
}

function instanceAnswer(
  vm: InstanceMetadata,
  steps: readonly string[],
  version: string,
): JsonAnswer {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(version) || version < oldestInstanceVersion)
    return refusal(400, "Bad request. api-version is invalid or was not specified in the request.");
  let found: JsonValue | undefined = { compute: vm.compute(), network: vm.network?.() ?? {} };
  for (const step of steps)
    found = isRecord(found) && Object.hasOwn(found, step) ? found[step] : undefined;
  return found === undefined ? refusal(404, "Not found") : { status: 200, body: found };
}

function isRecord(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refusal(status: number, description: string): JsonAnswer {
  return { status, body: { error: "invalid_request", error_description: description } };
}
