/**
 * The token that a disk or snapshot with `dataAccessAuthMode: AzureActiveDirectory` asks for beside its SAS
 * (learn.microsoft.com/azure/virtual-machines/disks-secure-upload-download). Who may what is known elsewhere;
 * here stand the questions and the answers on the wire: a challenge that names the audience, as AzCopy
 * reads it (`mdAccountNeedsOAuth`, Azure/azure-storage-azcopy), and the codes of the Blob service for tokens
 * (learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes).
 */
import type { GrantedAccess, ResourceKey } from "./disk-service.ts";
import { authenticationFailed, StorageError } from "./storage-error.ts";

/** With the slash: the service compares it to the letter (AzCopy, `MDResource`). */
export const diskAudience = "https://disk.azure.com/";

export interface TokenQuestion {
  readonly resource: ResourceKey;
  readonly right: "download" | "upload";
  /** Header `Authorization` as it came. */
  readonly authorization: string | undefined;
}

export type TokenAnswer =
  /** The resource is not in the mode: the SAS alone opens it. */
  "not-asked-for" | "allowed" | "missing" | "invalid" | "not-permitted";

export interface TokenPolicy {
  readonly tenantId: string;
  judge(question: TokenQuestion): Promise<TokenAnswer>;
}

export function rightOf(access: GrantedAccess): TokenQuestion["right"] {
  return access === "Write" ? "upload" : "download";
}

/** Throws what Azure answers unless the request may go on. */
export async function requireToken(policy: TokenPolicy, question: TokenQuestion): Promise<void> {
  const challenge = {
    "WWW-Authenticate": `Bearer authorization_uri=https://login.microsoftonline.com/${policy.tenantId}/oauth2/authorize resource_id=${diskAudience}`,
  };
  switch (await policy.judge(question)) {
    case "allowed":
      return;
    case "not-asked-for":
      // Ours: whoever sends a token where none is asked for shows it to more services than it must.
      if (question.authorization === undefined) return;
      throw authenticationFailed("A SAS and a token were given where a SAS is enough.");
    case "missing":
      throw new StorageError(
        401,
        "NoAuthenticationInformation",
        "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
        challenge,
      );
    case "invalid":
      throw new StorageError(
        401,
        "InvalidAuthenticationInfo",
        "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
        challenge,
      );
    case "not-permitted":
      throw new StorageError(
        403,
        "AuthorizationPermissionMismatch",
        "This request is not authorized to perform this operation using this permission.",
      );
  }
}
