import { listenJson, type JsonAnswer, type ListenOptions, type Listener } from "./http-listener.ts";
import type { IssuedToken, TokenRequest, TokenService } from "./token-service.ts";

export interface OpenIdServer extends Listener {
  /** Issuer of version 2 tokens: `https://127.0.0.1:<port>/<tenant>/v2.0`. */
  readonly issuer: string;
  /** A token for the product's own API; the audience is the API's id, e.g. `api://holdfast`. */
  issueApiToken(request: Omit<TokenRequest, "issuer">): Promise<IssuedToken>;
}

/**
 * Serves the tenant's discovery document and keys over TLS, so that an API validates tokens as it
 * does in Azure: https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc
 */
export async function startOpenIdServer(
  tokens: TokenService,
  options: ListenOptions,
): Promise<OpenIdServer> {
  const { tenantId } = tokens;
  let origin = "";
  const listener = await listenJson(options, (request, url): JsonAnswer => {
    const root = `${origin}/${tenantId}`;
    if (request.method !== "GET") return { status: 405, body: { error: "invalid_request" } };
    if (url.pathname === `/${tenantId}/v2.0/.well-known/openid-configuration`)
      return { status: 200, body: discovery(root) };
    if (url.pathname === `/${tenantId}/discovery/v2.0/keys`)
      return { status: 200, body: { keys: tokens.keySet.keys.map(publicKeyJson) } };
    return {
      status: url.pathname.endsWith("/.well-known/openid-configuration") ? 400 : 404,
      body: {
        error: "invalid_tenant",
        error_description:
          "AADSTS90002: Tenant not found. Check to make sure you have the correct tenant ID.",
      },
    };
  });
  origin = listener.origin;
  const issuer = `${origin}/${tenantId}/v2.0`;
  return {
    ...listener,
    issuer,
    issueApiToken: (wanted) => tokens.issueToken({ ...wanted, issuer }),
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}

function discovery(root: string): Record<string, string | string[]> {
  return {
    issuer: `${root}/v2.0`,
    jwks_uri: `${root}/discovery/v2.0/keys`,
    authorization_endpoint: `${root}/oauth2/v2.0/authorize`,
    token_endpoint: `${root}/oauth2/v2.0/token`,
    response_types_supported: ["code", "id_token", "token id_token"],
    subject_types_supported: ["pairwise"],
    id_token_signing_alg_values_supported: ["RS256"],
    claims_supported: ["sub", "iss", "aud", "exp", "iat", "nbf", "oid", "tid", "ver"],
  };
}

function publicKeyJson(key: TokenService["keySet"]["keys"][number]): Record<string, string> {
  const { kty = "", n = "", e = "", use = "", alg = "", kid = "" } = key;
  return { kty, n, e, use, alg, kid };
}
