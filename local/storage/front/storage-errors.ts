import { createRequire } from "node:module";
import type { RequestContext } from "./azurite-types.ts";

/** Azurite's own error class, whose instances it answers as Azure's XML. */
type StorageErrorClass = new (
  status: number,
  code: string,
  message: string,
  requestId: string,
) => Error;

const { default: StorageError }: { default: StorageErrorClass } = createRequire(import.meta.url)(
  "azurite/dist/src/blob/errors/StorageError.js",
);

/** Codes and messages: learn.microsoft.com/rest/api/storageservices/blob-service-error-codes, else assumed. */
const refusals = {
  BlobNotFound: [404, "The specified blob does not exist."],
  BlobArchived: [409, "This operation is not permitted on an archived blob."],
  BlobImmutableDueToPolicy: [
    409,
    "This operation is not permitted as the blob is immutable due to a policy.",
  ],
  BlobImmutableDueToLegalHold: [
    409,
    "This operation is not permitted as the blob is immutable due to a legal hold.",
  ],
  BlobBeingRehydrated: [
    409,
    "This operation is not permitted because the blob is being rehydrated.",
  ],
  ImmutabilityPolicyDeleteOnLockedPolicy: [
    409,
    "The immutability policy of the blob is locked and cannot be deleted.",
  ],
  ImmutabilityPolicyShortenOnLockedPolicy: [
    409,
    "The immutability policy of the blob is locked: it can be extended only.",
  ],
  ImmutableStorageWithVersioningNotEnabled: [
    409,
    "The container does not have immutable storage with versioning enabled.",
  ],
  ContainerImmutableStorageWithVersioningNotEmpty: [
    409,
    "A container with immutable storage with versioning is deleted only when it is empty.",
  ],
  OperationNotAllowedOnRootBlob: [403, "The specified operation is not allowed on root blob."],
  OperationNotAllowedOnVersion: [409, "The specified operation is not allowed on version."],
  CopyOfArchivedBlobToArchive: [409, "An archived blob is copied to an online tier only."],
  InvalidHeaderValue: [400, "The value for one of the HTTP headers is not in the correct format."],
} as const;

/** The error to throw for a refusal. */
export function refusal(context: RequestContext, code: keyof typeof refusals): Error {
  const [status, message] = refusals[code];
  return new StorageError(status, code, message, context.contextId);
}
