/**
 * Who the product is: a managed identity, in Azure and on the local Azure alike. The SDK picks the
 * token endpoint (App Service form for the app, IMDS form for workers) from the environment.
 */
import { ManagedIdentityCredential } from "@azure/identity";
import type { TokenCredential } from "@azure/core-auth";

/** @param options.clientId user-assigned identity; without it the system-assigned one */
export function createCredential(options: { readonly clientId?: string } = {}): TokenCredential {
  return options.clientId === undefined
    ? new ManagedIdentityCredential()
    : new ManagedIdentityCredential({ clientId: options.clientId });
}
