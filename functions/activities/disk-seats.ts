import { HoldfastError } from "#core/lib/errors.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { resourceGroupOf } from "#core/model/resource-id.ts";
import { diskAccessNameOf, type DiskPoolNames } from "#core/network/plan-disk-accesses.ts";
import type { SlotWish } from "#core/network/disk-slots.ts";
import type { JobRecord } from "#core/model/job-record.ts";
import { sameId } from "#core/model/resource-id.ts";
import type { AppContext } from "../app-context.ts";
import { defineActivity } from "./define-activity.ts";
import { poolNamesOf } from "./disk-accesses.ts";
import { getRunningSession } from "./running-session.ts";

/**
 * What of a job needs a seat on a disk access, and where it is. *Items* are numbered as the job's
 * disks are: `3` is the new snapshot (or the target disk) of the fourth, `3-base` its base. While
 * several workers read parts of disks, all of them use one seat for each such disk.
 */
const CALLS_AT_ONCE = 8;

interface Item {
  readonly item: string;
  readonly resourceId: string;
  readonly isDisk: boolean;
}

function itemsOf({ jobId, spec }: JobRecord, only: "parts" | undefined): Item[] {
  switch (spec.kind) {
    case "backup":
      return spec.disks.flatMap((disk, index) =>
        only === "parts" && disk.parts === undefined
          ? []
          : [
              { item: String(index), resourceId: disk.snapshotId, isDisk: false },
              ...(disk.base === undefined
                ? []
                : [{ item: `${index}-base`, resourceId: disk.base.snapshotId, isDisk: false }]),
            ],
      );
    case "restore":
      return spec.disks.map(({ targetDiskId }, index) => ({
        item: String(index),
        resourceId: targetDiskId,
        isDisk: true,
      }));
    case "backup-part":
    case "maintain":
    case "check":
    case "archive":
    case "retrieve":
    case "import":
    case "doctor":
      throw new HoldfastError(
        "WrongJobKind",
        `Job '${jobId}' is a ${spec.kind}: it has no disks of its own.`,
      );
  }
}

function namesOf(context: AppContext, job: JobRecord, items: readonly Item[]): DiskPoolNames {
  const { subscriptionId } = resourceGroupOf(items[0]?.resourceId ?? "");
  return poolNamesOf(context, { location: job.location, subscriptionId });
}

/** Disks that wait for an upload stay where they are; snapshots may move. */
export const readDiskWishes = defineActivity("read-disk-wishes", async (context, input) => {
  const job = await context.records.jobs.get(input.jobId);
  const items = itemsOf(job, input.only);
  const names = namesOf(context, job, items);
  const wishes = await mapBounded(items, CALLS_AT_ONCE, async (each): Promise<SlotWish> => {
    const { item, resourceId, isDisk } = each;
    const found = isDisk
      ? (await context.compute.readDisk(resourceId))?.settings
      : await context.compute.readSnapshot(resourceId);
    if (found === undefined)
      throw new HoldfastError("ResourceNotFound", `${resourceId} does not exist any more.`);
    const access = diskAccessNameOf(names, found.networkAccess.diskAccessId);
    if (isDisk && access === undefined)
      throw new HoldfastError(
        "DiskAccessChanged",
        `${resourceId} is not on a disk access of Holdfast any more: somebody changed its networking. Start the restore again.`,
      );
    return { item, ...(access === undefined ? {} : { access }), ...(isDisk && { fixed: true }) };
  });
  return { wishes };
});

/**
 * Moves the snapshots that got a seat elsewhere. A base keeps the disk access that it was made with as
 * long as a slot is free there; waiting for it while others are free would only cost time, and Azure
 * changes the disk access of a snapshot in one short call.
 */
export const placeDisks = defineActivity("place-disks", async (context, input) => {
  const { jobId, seats, only } = input;
  const job = await context.records.jobs.get(jobId);
  await getRunningSession(context, job.sessionId);
  const items = itemsOf(job, only);
  const names = namesOf(context, job, items);
  const moving = await mapBounded(items, CALLS_AT_ONCE, async ({ item, resourceId, isDisk }) => {
    const seat = seats.find((each) => each.item === item);
    if (seat === undefined)
      throw new HoldfastError("NoSeat", `${resourceId} has no slot of a disk access.`);
    if (isDisk) return [];
    const diskAccessId = names.diskAccessIdOf(seat.access);
    return (await isPlaced(context, resourceId, diskAccessId)) ? [] : [resourceId];
  });
  const [waitingFor] = moving.flat();
  if (waitingFor === undefined) return { ready: true };
  return { ready: false, waitingFor: `${waitingFor} to change its disk access` };
});

/** Whether the snapshot can be exported through this disk access and no other way; sees to it if not. */
async function isPlaced(
  { compute }: AppContext,
  snapshotId: string,
  diskAccessId: string,
): Promise<boolean> {
  const snapshot = await compute.readSnapshot(snapshotId);
  if (snapshot === undefined)
    throw new HoldfastError("SnapshotNotFound", `${snapshotId} was deleted during the backup.`);
  const { policy, publicAccess, diskAccessId: current = "" } = snapshot.networkAccess;
  if (policy === "AllowPrivate" && !publicAccess && sameId(current, diskAccessId))
    return snapshot.provisioning === "succeeded";
  await compute.startSnapshotAccess(snapshotId, diskAccessId);
  return false;
}
