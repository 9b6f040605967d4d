import { planDiskSettings, sameSettings } from "#core/restore/plan-disk-settings.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { defineActivity } from "./define-activity.ts";
import { targetsOf } from "./restores.ts";
import { getRunningSession } from "./running-session.ts";
import { readinessOf } from "./workers.ts";

const CALLS_AT_ONCE = 8;

/**
 * Gives restored disks what they could not have while they were written: the network access of their
 * source and its encryption set. Asked again until all have it.
 */
export const finishRestoreDisks = defineActivity(
  "finish-restore-disks",
  async (context, { sessionId }) => {
    const { compute } = context;
    await getRunningSession(context, sessionId);
    const { disks, location } = await targetsOf(context, sessionId);
    const found = await mapBounded(disks, CALLS_AT_ONCE, async ({ source, diskId }) => {
      const { diskAccessId } = source;
      const access =
        diskAccessId === undefined ? undefined : await compute.readDiskAccess(diskAccessId);
      const { settings, note } = planDiskSettings(source, { location, access });
      const state = await compute.readDisk(diskId);
      const notes = note === undefined ? [] : [note];
      const readiness = readinessOf(state, diskId);
      if (!readiness.ready || state === undefined) return { readiness, notes };
      if (sameSettings(state.settings, settings)) return { readiness, notes };
      await compute.startDiskSettings(diskId, settings);
      return { readiness: { ready: false, waitingFor: `${diskId} to get its settings` }, notes };
    });
    const pending = found.find(({ readiness }) => !readiness.ready);
    return {
      ...(pending?.readiness ?? { ready: true }),
      notes: found.flatMap(({ notes }) => notes),
    };
  },
);
