import { STAGING_RULE, type StorageAccountState } from "../ports/region.ts";
import {
  regionNamesOf,
  type PlanBuilder,
  type RegionConfig,
  type RegionFacts,
} from "./region-plan.ts";

/** The account that is there or will be. */
export function stagingAccountIdOf(facts: RegionFacts, config: RegionConfig): string {
  return facts.stagingAccount?.accountId ?? regionNamesOf(config).stagingAccountId;
}

/** Worker bundles and queues of jobs: an account in the workers' region that only endpoints lead to. */
export function planStagingAccount(
  plan: PlanBuilder,
  facts: RegionFacts,
  config: RegionConfig,
): void {
  const { stagingAccount, lifecycleRules } = facts;
  const accountId = stagingAccountIdOf(facts, config);
  const rule = {
    kind: "write-lifecycle-rule",
    resourceId: `${accountId}/managementPolicies/default`,
    accountId,
  } as const;
  const ruleReason = "bundles of old versions are not deleted";
  if (stagingAccount === undefined || stagingAccount.provisioning === "failed") {
    const reason =
      stagingAccount === undefined
        ? `${config.location} has no staging account of this control plane`
        : `the staging account in ${config.location} failed to be made`;
    plan.add({ kind: "create-staging-account", resourceId: accountId }, reason);
    plan.add(rule, ruleReason, { needs: [accountId] });
    return;
  }
  if (stagingAccount.provisioning === "pending") {
    plan.wait(accountId, "the staging account");
  } else {
    const open = whyOpen(stagingAccount);
    if (open.length > 0)
      plan.add(
        { kind: "secure-staging-account", resourceId: accountId },
        `the staging account ${stagingAccount.name} ${open.join(" and ")}`,
      );
  }
  if (!lifecycleRules.includes(STAGING_RULE)) plan.add(rule, ruleReason, { needs: [accountId] });
}

function whyOpen(account: StorageAccountState): string[] {
  const isOldTls = account.minimumTlsVersion === "TLS1_0" || account.minimumTlsVersion === "TLS1_1";
  return [
    ...(account.publicAccess ? ["answers on public addresses"] : []),
    ...(account.sharedKeyAccess ? ["takes shared keys"] : []),
    ...(isOldTls ? ["takes TLS below 1.2"] : []),
  ];
}
