import type { TokenService, TokenVerdict } from "../identity/token-service.ts";
import { ArmError } from "./arm-error.ts";

/** https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/services-id-authentication-support */
const armAudiences = ["https://management.azure.com", "https://management.core.windows.net"];

/**
 * Object id of the caller. Throws 401 with the code that Resource Manager gives for a missing,
 * damaged, foreign or expired token.
 */
export async function authenticate(
  authorization: string | undefined,
  tokens: TokenService,
  now: Date,
): Promise<string> {
  const token = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
  if (authorization === undefined)
    throw refusal(
      tokens,
      "AuthenticationFailed",
      "Authentication failed. The 'Authorization' header is missing.",
    );
  if (token === undefined)
    throw refusal(
      tokens,
      "AuthenticationFailedInvalidHeader",
      "Authentication failed. The 'Authorization' header is provided in an invalid format.",
    );
  const verdict = await tokens.verify(token, {
    audiences: armAudiences,
    issuers: [tokens.v1Issuer],
  });
  if (verdict.kind === "valid") return verdict.oid;
  const { code, message } = describe(verdict, tokens, now);
  throw refusal(tokens, code, message);
}

function describe(
  verdict: Exclude<TokenVerdict, { kind: "valid" }>,
  tokens: TokenService,
  now: Date,
): { code: string; message: string } {
  switch (verdict.kind) {
    case "expired":
      return {
        code: "ExpiredAuthenticationToken",
        message: `The access token expiry UTC time '${verdict.expiredAt.toISOString()}' is earlier than current UTC time '${now.toISOString()}'.`,
      };
    case "wrongAudience":
      return {
        code: "InvalidAuthenticationTokenAudience",
        message: `The access token has been obtained for wrong audience or resource '${verdict.audience}'. It should exactly match with one of the allowed audiences 'https://management.core.windows.net/','https://management.core.windows.net','https://management.azure.com/','https://management.azure.com'.`,
      };
    case "wrongIssuer":
      return {
        code: "InvalidAuthenticationTokenTenant",
        message: `The access token is from the wrong issuer '${verdict.issuer}'. It must match the tenant '${tokens.v1Issuer}' associated with this subscription.`,
      };
    case "notYetValid":
    case "malformed":
    case "badSignature":
      return { code: "InvalidAuthenticationToken", message: "The access token is invalid." };
  }
}

function refusal(tokens: TokenService, code: string, message: string): ArmError {
  const challenge = `Bearer authorization_uri="https://login.windows.net/${tokens.tenantId}", error="invalid_token", error_description="${message}"`;
  return new ArmError(401, code, message, { headers: { "www-authenticate": challenge } });
}
