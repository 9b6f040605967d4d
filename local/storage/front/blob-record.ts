/**
 * What Azure keeps of a blob and Azurite does not. It lies in Azurite's own document of the blob, so
 * that it is saved, moved and deleted with it and survives a restart of the stack.
 */
export interface BlobRecord {
  /** Absent: written while the account had no versioning. */
  readonly versionId?: string;
  readonly policy?: ImmutabilityPolicy;
  readonly hasLegalHold?: boolean;
  readonly rehydration?: Rehydration;
}

export interface ImmutabilityPolicy {
  readonly untilMs: number;
  readonly mode: "Unlocked" | "Locked";
}

/** A way out of the archive tier. */
interface Rehydration {
  readonly tier: OnlineTier;
  readonly priority: RehydratePriority;
  readonly readyAtMs: number;
  /** Of a copy: it never ends without its source. */
  readonly source?: { readonly container: string; readonly blob: string };
}

export type OnlineTier = "Hot" | "Cool" | "Cold";
export type RehydratePriority = "Standard" | "High";

/** How the containers of an account are set up through Resource Manager. */
export interface AccountProtection {
  readonly versioning: boolean;
  /** Version-level immutability for all containers of the account. */
  readonly immutableStorage: boolean;
  /** Containers with version-level immutability of their own. */
  readonly immutableContainers: readonly string[];
}

/** What the front works by: it changes while the front runs. */
export interface FrontRules {
  protectionOf(account: string): AccountProtection;
  /** Milliseconds since 1970 of the local Azure's clock. */
  now(): number;
  /** How long leaving the archive takes here; in Azure up to 15 hours, or one with high priority. */
  rehydrationSeconds(priority: RehydratePriority): number;
}

export function isVersioned(rules: FrontRules, account: string): boolean {
  return rules.protectionOf(account).versioning;
}

export function isImmutableContainer(
  rules: FrontRules,
  account: string,
  container: string,
): boolean {
  const { immutableStorage, immutableContainers } = rules.protectionOf(account);
  return immutableStorage || immutableContainers.includes(container);
}
