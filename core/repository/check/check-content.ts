/** What a disk point, or an archived disk, needs: its map, the objects named there, blocks. */
import { mapBounded } from "../../lib/bounded-pool.ts";
import { BlockMap } from "../block-map.ts";
import type { DiskPoint } from "../disk-points.ts";
import { objectNames } from "../format/layout.ts";
import { orDefect, type ContentCheck } from "./check-context.ts";
import { checkContainer } from "./check-container.ts";
import { checkLeaves } from "./check-leaves.ts";
import { isDamage } from "./damage.ts";
import { containerName, type ContainerKind } from "./disk-objects.ts";
import { reasonsOf, type DiskDefect } from "./findings.ts";

/** Containers whose ends are read at the same time: a few hundred bytes to some KiB each. */
const CONTAINERS_UNDER_WAY = 8;

/** As deep as the level asks for; what is wrong becomes defects of the point. */
export async function checkContent(check: ContentCheck, point: DiskPoint): Promise<void> {
  const map = await openMap(check, point);
  if (map === undefined) return;
  await checkObjects(check, map);
  if (check.level.kind !== "presence") await checkLeaves(check, map);
}

async function openMap(check: ContentCheck, point: DiskPoint): Promise<BlockMap | undefined> {
  const { root } = point.manifest;
  const { sequence } = point.reference;
  if (root === null) return BlockMap.open(check, point, check.signal);
  const name = objectNames.index(check.diskId, root.indexId);
  try {
    const map = await BlockMap.open(check, point, check.signal);
    check.objects.find("index", root.indexId)?.seenBlocks.add(root.frameNumber);
    return map;
  } catch (error) {
    if (!isDamage(error)) throw error;
    const isThere = await isStillThere(check, name);
    const kind = isThere ? "unreadable-metadata" : "missing";
    const message = isThere
      ? `The map of the restore point cannot be read: ${reasonsOf(error)}`
      : "The index with the map of the restore point is not in the repository.";
    check.defects.add({ kind, object: name, message, harmsRestores: true }, sequence);
    // Nothing to keep away from: without its root the point is no parent for the next backup.
    return undefined;
  }
}

/** Presence and size of everything that the root names; from level `metadata` also the ends. */
async function checkObjects(check: ContentCheck, map: BlockMap): Promise<void> {
  const { sequence } = map.point.reference;
  const uses = function* () {
    for (const [id, use] of map.root.indexes) yield { kind: "index" as const, id, ...use };
    for (const [id, use] of map.root.packs) yield { kind: "pack" as const, id, ...use };
    const { root } = map.point.manifest;
    if (root === null) return;
    // The index of the root lies in no table; its size is known only to the store.
    const { indexId: id, keyNumber } = root;
    yield { kind: "index" as const, id, keyNumber, objectBytes: undefined };
  };
  await mapBounded(uses(), CONTAINERS_UNDER_WAY, async ({ kind, id, keyNumber, objectBytes }) => {
    const defect = await checkPresence(check, kind, id, objectBytes);
    if (defect !== undefined) {
      check.defects.add(defect, sequence);
      check.damage.addObject(kind, id);
      return;
    }
    const object = check.objects.find(kind, id);
    const dataKey = map.point.dataKeys[keyNumber];
    if (object === undefined || dataKey === undefined) return;
    const isDue = check.level.kind !== "presence" && object.state === "online";
    if (!isDue || object.isContainerChecked) return;
    object.isContainerChecked = true;
    check.progress.checkedObjects++;
    const frames = await orDefect(
      check,
      sequence,
      { kind: "unreadable-metadata", object: object.name, harmsRestores: false },
      checkContainer(check, object, dataKey, check.signal),
    );
    // Damaged ends are no reason to store the content again: it can be read without them.
    if (frames !== undefined) object.soundKey = dataKey;
  });
}

async function checkPresence(
  check: ContentCheck,
  kind: ContainerKind,
  id: string,
  expectedBytes: number | undefined,
): Promise<DiskDefect | undefined> {
  const object = containerName(check.diskId, kind, id);
  const found = check.objects.find(kind, id);
  const isWhole =
    found?.state === "underWay" || (expectedBytes ?? found?.sizeBytes) === found?.sizeBytes;
  if (found !== undefined && isWhole) {
    const isLookedAt = check.level.kind === "presence" || found.state !== "online";
    if (isLookedAt && !found.isContainerChecked) {
      found.isContainerChecked = true;
      check.progress.checkedObjects++;
    }
    return undefined;
  }
  if (found !== undefined) {
    const message = `The object has ${found.sizeBytes} bytes instead of ${expectedBytes}.`;
    return { kind: "wrong-size", object, message, harmsRestores: true };
  }
  if (await isStillThere(check, object)) return undefined;
  const message = "The object is not in the repository.";
  return { kind: "missing", object, message, harmsRestores: true };
}

async function isStillThere(check: ContentCheck, name: string): Promise<boolean> {
  return (await check.store.readProperties(name, check.signal)) !== undefined;
}
