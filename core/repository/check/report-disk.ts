import { objectNames } from "../format/layout.ts";
import type { RepositoryCheck } from "./check-context.ts";
import type { CheckedDisk } from "./check-disk.ts";
import type { CheckFinding, DiskDefect } from "./findings.ts";
import type { VmReference } from "./vm-references.ts";

/** Defects of a disk become findings that name the restore points of VMs which they affect. */
export async function reportDisk(
  check: RepositoryCheck,
  diskId: string,
  { points, defects }: CheckedDisk,
  references: readonly VmReference[],
): Promise<void> {
  const gone = new Map<string, Promise<boolean>>();
  const isGone = async (name: string): Promise<boolean> => {
    const known = gone.get(name) ?? isAbsent(check, name);
    gone.set(name, known);
    return known;
  };
  const isOfDeleted = ({ vmId, pointId }: VmReference) =>
    isGone(objectNames.vmPoint(vmId, pointId));
  for (const reference of references) {
    const { sequence, manifestId, vmId, pointId } = reference;
    const found = points.get(sequence);
    if (points.has(sequence) && (found === undefined || found === manifestId)) continue;
    if (await isOfDeleted(reference)) continue;
    const isThere = points.has(sequence);
    check.findings.add({
      kind: isThere ? "unreadable-metadata" : "missing",
      object: objectNames.diskPoint(diskId, sequence),
      diskId,
      affectedPoints: [{ vmId, pointId }],
      message: isThere
        ? "The restore point asks for another manifest of this number."
        : "The restore point of the disk is not in the repository.",
    });
  }
  for (const { sequences, harmsRestores, ...defect } of defects.joined()) {
    const present: number[] = [];
    for (const sequence of sequences) {
      // 0 = of no point. Points that retention deleted during the check are no longer of interest.
      const isKept = sequence === 0 || !(await isGone(objectNames.diskPoint(diskId, sequence)));
      if (isKept) present.push(sequence);
    }
    if (present.length === 0) continue;
    const affected = harmsRestores
      ? references.filter((each) => present.includes(each.sequence))
      : [];
    check.findings.add(findingOf(diskId, defect, affected));
  }
  check.findings.count += defects.omittedCount;
  for (const reference of references) {
    if (!defects.omittedSequences.has(reference.sequence)) continue;
    if (!(await isOfDeleted(reference))) check.findings.addAffected([reference]);
  }
}

function findingOf(
  diskId: string,
  { kind, object, blocks, message }: Omit<DiskDefect, "harmsRestores">,
  affected: readonly VmReference[],
): CheckFinding {
  const affectedPoints = affected.map(({ vmId, pointId }) => ({ vmId, pointId }));
  return { kind, object, diskId, ...(blocks && { blocks }), affectedPoints, message };
}

async function isAbsent({ repository, signal }: RepositoryCheck, name: string): Promise<boolean> {
  return (await repository.store.readProperties(name, signal)) === undefined;
}
