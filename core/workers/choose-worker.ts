/**
 * Which worker a job gets. A *profile* is a class of sizes, chosen by how much a job has to move; an
 * *option* is one size, spot or regular, tried in order until Azure has room for one.
 */
import type { JobSpec } from "../model/job-record.ts";
import type { WorkerConfiguration, WorkerProfile } from "../model/worker-configuration.ts";
import { fitsEphemeralDisk } from "./ephemeral-os-disk.ts";

/** Total size of a job's disks below which a profile is enough: two threads saturate what they read. */
export const SMALL_BYTES_MAX = 100 * 1024 ** 3;
export const MEDIUM_BYTES_MAX = 1024 ** 4;

export interface JobFacts {
  readonly kind: JobSpec["kind"];
  /** Of all its disks together; 0 for a job that has none. */
  readonly diskBytes: number;
  /** How often a spot worker of this job was evicted. */
  readonly evictions: number;
}

export interface LaunchOption {
  readonly vmSize: string;
  readonly priority: "spot" | "regular";
  readonly osDisk: "ephemeral" | "managed";
}

export interface WorkerChoice {
  readonly profile: WorkerProfile;
  /** In the order of preference. */
  readonly options: readonly LaunchOption[];
  /** A spot worker that exists is not taken either. */
  readonly mustBeRegular: boolean;
  readonly reasons: readonly string[];
}

/** What a job counts as, from its record. */
export function jobFactsOf(spec: JobSpec, evictions: number): JobFacts {
  if (spec.kind === "backup-part")
    return { kind: spec.kind, diskBytes: spec.part.lengthBytes, evictions };
  const disks = spec.kind === "backup" || spec.kind === "restore" ? spec.disks : [];
  const diskBytes = disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return { kind: spec.kind, diskBytes, evictions };
}

export function chooseWorkerProfile(
  facts: JobFacts,
  configuration: WorkerConfiguration,
): WorkerChoice {
  const { profile, reason } = profileOf(facts);
  const { purchase, osDisk, diskEncryptionSetId } = configuration;
  const reasons = [reason];
  const isSpot = purchase.kind === "spot" && facts.evictions < purchase.evictionsMax;
  const mustBeRegular = purchase.kind === "spot" && !isSpot;
  if (isSpot) reasons.push("spot, and regular where no size has room for spot");
  if (mustBeRegular)
    reasons.push(`regular, because ${facts.evictions} spot workers of this job were evicted`);
  if (osDisk === "ephemeral" && diskEncryptionSetId !== undefined)
    reasons.push("managed OS disk, because it is encrypted with a disk encryption set");
  const isEphemeral = osDisk === "ephemeral" && diskEncryptionSetId === undefined;
  const priorities = isSpot ? (["spot", "regular"] as const) : (["regular"] as const);
  const options = priorities.flatMap((priority) =>
    configuration.sizes[profile].map((vmSize): LaunchOption => ({
      vmSize,
      priority,
      osDisk: isEphemeral && fitsEphemeralDisk(vmSize) ? "ephemeral" : "managed",
    })),
  );
  return { profile, options, mustBeRegular, reasons };
}

function profileOf(facts: JobFacts): { profile: WorkerProfile; reason: string } {
  switch (facts.kind) {
    case "backup":
    case "backup-part":
    case "restore": {
      const { diskBytes } = facts;
      const gib = Math.ceil(diskBytes / 1024 ** 3);
      if (diskBytes < SMALL_BYTES_MAX) return because("small", `${gib} GiB of disks`);
      if (diskBytes < MEDIUM_BYTES_MAX) return because("medium", `${gib} GiB of disks`);
      return because("large", `${gib} GiB of disks`);
    }
    case "archive":
      return because("archive", "an archive needs the index of all its blocks in memory");
    case "check":
      return because("medium", "a health check reads the repository");
    case "doctor":
    case "import":
    case "maintain":
    case "retrieve":
      return because("small", `a job of kind ${facts.kind} moves no disk`);
  }
}

function because(profile: WorkerProfile, why: string): { profile: WorkerProfile; reason: string } {
  return { profile, reason: `profile ${profile}: ${why}` };
}

/**
 * Codes with which Azure says that it has no room for a size here and now, or that the subscription
 * may have no more of its family (https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-sku-not-available,
 * https://learn.microsoft.com/troubleshoot/azure/virtual-machines/windows/allocation-failure).
 */
const NO_ROOM_CODES: ReadonlySet<string> = new Set([
  "SkuNotAvailable",
  "AllocationFailed",
  "ZonalAllocationFailed",
  "OverconstrainedAllocationRequest",
  "OverconstrainedZonalAllocationRequest",
  "QuotaExceeded",
]);

/** Whether another size, or regular in place of spot, may help. */
export function isWithoutRoom({ code, message }: { code: string; message: string }): boolean {
  if (NO_ROOM_CODES.has(code)) return true;
  // Quotas of cores come with a code that means many things.
  return code === "OperationNotAllowed" && /\bquota\b/i.test(message);
}
