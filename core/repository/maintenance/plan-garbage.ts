/**
 * Decides what one garbage collection of one disk does. Two phases: an object is marked by one run
 * and deleted by a later one, which has read all manifests again. `docs/concurrency.md`.
 */
import type { StoredBlob } from "../../ports/blob-store.ts";
import type { GarbageList } from "./garbage-lists.ts";
import { secondsBefore, type MaintenanceMargins } from "./margins.ts";

export type GarbageObject = Pick<
  StoredBlob,
  "name" | "sizeBytes" | "modifiedAt" | "immutableUntil"
>;

export interface GarbageFacts {
  /** Objects of the disk that no manifest needs, seen after all manifests had been read. */
  readonly unreferenced: readonly GarbageObject[];
  readonly lists: readonly GarbageList[];
  /** Lists that cannot be read: what they name is marked anew. */
  readonly unreadableLists: readonly string[];
  readonly now: Date;
  readonly margins: MaintenanceMargins;
}

export interface GarbagePlan {
  readonly delete: readonly GarbageObject[];
  /** To be deleted after their objects. */
  readonly finishedLists: readonly string[];
  readonly mark: readonly GarbageObject[];
  readonly wait: readonly {
    readonly name: string;
    readonly reason: "young" | "marked-recently" | "immutable";
  }[];
}

export function planGarbage(facts: GarbageFacts): GarbagePlan {
  const { now, margins } = facts;
  const sweepBefore = secondsBefore(now, margins.markedSeconds);
  const markBefore = secondsBefore(now, margins.sessionSeconds);
  const ripe = facts.lists.filter(({ markedAt }) => markedAt <= sweepBefore);
  const ripeNames = new Set(ripe.flatMap(({ objects }) => objects));
  const markedNames = new Set(facts.lists.flatMap(({ objects }) => objects));
  const plan = {
    delete: [] as GarbageObject[],
    finishedLists: [...ripe.map(({ name }) => name), ...facts.unreadableLists],
    mark: [] as GarbageObject[],
    wait: [] as GarbagePlan["wait"][number][],
  };
  for (const object of facts.unreferenced) {
    const { name, modifiedAt, immutableUntil } = object;
    if (immutableUntil !== undefined && immutableUntil > now) {
      plan.wait.push({ name, reason: "immutable" });
    } else if (ripeNames.has(name)) plan.delete.push(object);
    else if (markedNames.has(name)) plan.wait.push({ name, reason: "marked-recently" });
    else if (modifiedAt > markBefore) plan.wait.push({ name, reason: "young" });
    else plan.mark.push(object);
  }
  return plan;
}
