import { ArmError } from "../arm-error.ts";
import type { BucketUse } from "../provider.ts";
import { idKey } from "../resource-id.ts";

/**
 * Writes on one VM, its power actions and run commands included: 12 at once, 4 more per minute
 * (ACD/compute-throttling-limits.md).
 */
export function vmWriteBucket(vmId: string): BucketUse {
  return {
    key: `vm-writes:${idKey(vmId)}`,
    capacity: 12,
    refillPerMinute: 4,
    refusal: {
      code: "OperationNotAllowed",
      message:
        "The server rejected the request because too many requests have been received for this virtual machine.",
    },
  };
}

/** Reads of one VM: 36 at once, 12 more per minute. */
export function vmReadBucket(vmId: string): BucketUse {
  return {
    key: `vm-reads:${idKey(vmId)}`,
    capacity: 36,
    refillPerMinute: 12,
    refusal: {
      code: "OperationNotAllowed",
      message:
        "The server rejected the request because too many requests have been received for this virtual machine.",
    },
  };
}

/** A write on a resource that an operation runs on. */
export function concurrentRequest(): ArmError {
  return new ArmError(
    409,
    "Conflict",
    "The request failed due to conflict with a concurrent request. To resolve it, please refer to https://aka.ms/activitylog to get more details on the conflicting requests.",
  );
}
