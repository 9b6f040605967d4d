/**
 * What Resource Manager and Entra ID know of who may read and write disks in the data access mode
 * `AzureActiveDirectory`, in the form in which the disk data plane asks for it.
 */
import { diskAudience, type TokenPolicy, type TokenQuestion } from "#local/disks/token-gate.ts";
import type { TokenService } from "#local/identity/token-service.ts";
import { AccessCheck } from "#local/resource-manager/authorization/access-check.ts";
import { objectAt } from "#local/resource-manager/json.ts";
import type { ResourceStore } from "#local/resource-manager/provider.ts";

/** @param resources undefined while Resource Manager has not started */
export function diskAuthorizationOf(
  tokens: TokenService,
  resources: () => ResourceStore | undefined,
): TokenPolicy {
  return {
    tenantId: tokens.tenantId,
    async judge({ resource, right, authorization }) {
      const table = resources();
      const properties = objectAt(table?.get(resource.id)?.body ?? {}, "properties");
      if (table === undefined || properties["dataAccessAuthMode"] !== "AzureActiveDirectory")
        return "not-asked-for";
      const [, token] = /^Bearer (\S+)$/i.exec(authorization ?? "") ?? [];
      if (authorization === undefined) return "missing";
      const principalId = token === undefined ? undefined : await principalOf(tokens, token);
      if (principalId === undefined) return "invalid";
      const action = dataActionOf(resource.kind, right);
      return new AccessCheck(table).allowsData(principalId, action, resource.id)
        ? "allowed"
        : "not-permitted";
    },
  };
}

/** Of the built-in role "Data Operator for Managed Disks". */
function dataActionOf(
  kind: TokenQuestion["resource"]["kind"],
  right: TokenQuestion["right"],
): string {
  return `Microsoft.Compute/${kind}s/${right}/action`;
}

async function principalOf(tokens: TokenService, token: string): Promise<string | undefined> {
  const expected = { audiences: [diskAudience], issuers: [tokens.v1Issuer] };
  const verdict = await tokens.verify(token, expected);
  // The verdict leaves a slash at the end out of account; the disk service does not.
  return verdict.kind === "valid" && verdict.claims.aud === diskAudience ? verdict.oid : undefined;
}
