import { randomBytes, randomUUID, timingSafeEqual } from "node:crypto";
import { listenJson, type JsonAnswer, type ListenOptions, type Listener } from "./http-listener.ts";
import type { Principal } from "./principals.ts";
import type { TokenService } from "./token-service.ts";

export interface AppServiceEndpoint extends Listener {
  /** Value of IDENTITY_ENDPOINT for the app. */
  readonly identityEndpoint: string;
  /** Value of IDENTITY_HEADER for the app: a secret of this endpoint. */
  readonly identityHeader: string;
}

export interface AppServiceEndpointOptions extends ListenOptions {
  readonly tokens: TokenService;
  /** Identities of the app at this moment; the first is used when a request names none. */
  readonly identities: () => readonly Principal[];
}

const apiVersion = "2019-08-01";

/**
 * Token endpoint of an app with managed identities, in the form of App Service and Functions:
 * https://learn.microsoft.com/azure/app-service/overview-managed-identity (REST endpoint reference)
 */
export async function startAppServiceEndpoint(
  options: AppServiceEndpointOptions,
): Promise<AppServiceEndpoint> {
  const identityHeader = randomBytes(16).toString("hex").toUpperCase();
  const listener = await listenJson(options, async (request, url): Promise<JsonAnswer> => {
    if (request.method !== "GET" || url.pathname !== "/msi/token") return refusal(404, "Not Found");
    if (!sameSecret(request.headers["x-identity-header"], identityHeader))
      return refusal(401, "The X-IDENTITY-HEADER request header is missing or wrong.");
    if (url.searchParams.get("api-version") !== apiVersion)
      return refusal(400, "The api-version is not supported.");
    const resource = url.searchParams.get("resource");
    if (resource === null || resource === "")
      return refusal(400, "The resource parameter is required.");
    const principal = chooseIdentity(options.identities(), url.searchParams);
    if (principal === undefined) return refusal(400, "Unable to load the proper Managed Identity.");
    const { token, expiresOn } = await options.tokens.issueToken({
      oid: principal.objectId,
      appId: principal.clientId,
      audience: resource,
    });
    const body = {
      access_token: token,
      expires_on: String(expiresOn),
      resource,
      token_type: "Bearer",
      client_id: principal.clientId,
    };
    return { status: 200, body };
  });
  return {
    ...listener,
    identityEndpoint: `${listener.origin}/msi/token`,
    identityHeader,
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}

function chooseIdentity(
  identities: readonly Principal[],
  query: URLSearchParams,
): Principal | undefined {
  const clientId = query.get("client_id")?.toLowerCase();
  const objectId = (query.get("principal_id") ?? query.get("object_id"))?.toLowerCase();
  const resourceId = query.get("mi_res_id")?.toLowerCase();
  return identities.find(
    (identity) =>
      (clientId === undefined || identity.clientId === clientId) &&
      (objectId === undefined || identity.objectId === objectId) &&
      (resourceId === undefined || identity.resourceId?.toLowerCase() === resourceId),
  );
}

function sameSecret(given: string | string[] | undefined, secret: string): boolean {
  if (typeof given !== "string" || given.length !== secret.length) return false;
  return timingSafeEqual(Buffer.from(given), Buffer.from(secret));
}

function refusal(status: number, message: string): JsonAnswer {
  return { status, body: { statusCode: status, message, correlationId: randomUUID() } };
}
