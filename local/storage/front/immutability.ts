/**
 * Version-level immutability: a *policy* of one version says until when it can be neither deleted
 * nor changed. An unlocked policy can be removed or shortened, a locked one only extended; a legal
 * hold protects without an end.
 * Source: learn.microsoft.com/azure/storage/blobs/immutable-version-level-worm-policies,
 * learn.microsoft.com/rest/api/storageservices/set-blob-immutability-policy.
 */
import type { BlobDocument, BlobHandler, MetadataStore, RequestContext } from "./azurite-types.ts";
import {
  isImmutableContainer,
  type BlobRecord,
  type FrontRules,
  type ImmutabilityPolicy,
} from "./blob-record.ts";
import { blobs } from "./blob-versions.ts";
import { refusal } from "./storage-errors.ts";

const apiVersion = "2026-06-06";
const untilHeader = "x-ms-immutability-policy-until-date";
const modeHeader = "x-ms-immutability-policy-mode";
const holdHeader = "x-ms-legal-hold";

/** Throws 409 while a policy or a hold protects the blob. */
export function refuseIfProtected(
  rules: FrontRules,
  context: RequestContext,
  document: BlobDocument | undefined,
): void {
  const record = document?.record;
  if (record?.hasLegalHold === true) throw refusal(context, "BlobImmutableDueToLegalHold");
  if (record?.policy !== undefined && record.policy.untilMs > rules.now()) {
    throw refusal(context, "BlobImmutableDueToPolicy");
  }
}

/** What the headers of a write ask for. Throws where the container has no such protection. */
export function readProtection(
  rules: FrontRules,
  context: RequestContext,
  container: { readonly account: string; readonly name: string },
): Pick<BlobRecord, "policy" | "hasLegalHold"> {
  const policy = readPolicy(rules, context);
  const hold = context.request?.getHeader(holdHeader);
  if (policy === undefined && hold === undefined) return {};
  if (!isImmutableContainer(rules, container.account, container.name)) {
    throw refusal(context, "ImmutableStorageWithVersioningNotEnabled");
  }
  return {
    ...(policy === undefined ? {} : { policy }),
    ...(hold === undefined ? {} : { hasLegalHold: hold.toLowerCase() === "true" }),
  };
}

function readPolicy(rules: FrontRules, context: RequestContext): ImmutabilityPolicy | undefined {
  const until = context.request?.getHeader(untilHeader);
  const mode = context.request?.getHeader(modeHeader)?.toLowerCase() ?? "unlocked";
  if (until === undefined) return undefined;
  const untilMs = Date.parse(until);
  const isMode = mode === "unlocked" || mode === "locked";
  if (!isMode || !(untilMs > rules.now())) throw refusal(context, "InvalidHeaderValue");
  return { untilMs, mode: mode === "locked" ? "Locked" : "Unlocked" };
}

/** Set and Delete Blob Immutability Policy, Set Blob Legal Hold: what Azurite answers with 501. */
export function immutabilityHandlers(
  rules: FrontRules,
): Pick<BlobHandler, "setImmutabilityPolicy" | "deleteImmutabilityPolicy" | "setLegalHold"> {
  return {
    async setImmutabilityPolicy(this: BlobHandler, options, context) {
      const document = await addressed(rules, this.metadataStore, context);
      const policy = readPolicy(rules, context);
      if (policy === undefined) throw refusal(context, "InvalidHeaderValue");
      const before = document.record?.policy;
      const isShorter = before !== undefined && policy.untilMs < before.untilMs;
      if (before?.mode === "Locked" && (isShorter || policy.mode !== "Locked")) {
        throw refusal(context, "ImmutabilityPolicyShortenOnLockedPolicy");
      }
      save(this.metadataStore, document, { ...document.record, policy });
      return {
        ...answerTo(context, options.requestId),
        immutabilityPolicyExpiry: new Date(policy.untilMs),
        immutabilityPolicyMode: policy.mode,
      };
    },
    async deleteImmutabilityPolicy(this: BlobHandler, options, context) {
      const document = await addressed(rules, this.metadataStore, context);
      const { policy, ...record } = document.record ?? {};
      if (policy?.mode === "Locked") {
        throw refusal(context, "ImmutabilityPolicyDeleteOnLockedPolicy");
      }
      save(this.metadataStore, document, record);
      return answerTo(context, options.requestId);
    },
    async setLegalHold(this: BlobHandler, legalHold, options, context) {
      const document = await addressed(rules, this.metadataStore, context);
      save(this.metadataStore, document, { ...document.record, hasLegalHold: legalHold });
      return { ...answerTo(context, options.requestId), legalHold };
    },
  };
}

async function addressed(
  rules: FrontRules,
  store: MetadataStore,
  context: RequestContext,
): Promise<BlobDocument> {
  const { account = "", container = "", blob = "" } = context.context ?? {};
  const found = await store.getBlobWithLeaseUpdated(
    account,
    container,
    blob,
    undefined,
    context,
    true,
    true,
  );
  if (found === undefined) throw refusal(context, "BlobNotFound");
  if (isImmutableContainer(rules, account, container)) return found;
  throw refusal(context, "ImmutableStorageWithVersioningNotEnabled");
}

function save(store: MetadataStore, document: BlobDocument, record: BlobRecord): void {
  document.record = record;
  blobs(store).update(document);
}

function answerTo(context: RequestContext, clientRequestId: string | undefined) {
  return {
    statusCode: 200,
    requestId: context.contextId,
    version: apiVersion,
    date: new Date(),
    clientRequestId,
  };
}
