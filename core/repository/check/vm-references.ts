import { codeOf } from "../../lib/errors.ts";
import { objectNames } from "../format/layout.ts";
import { listVmPoints, readVmPoint, type ListedVmPoint } from "../vm-points.ts";
import type { RepositoryCheck } from "./check-context.ts";
import { isDamage } from "./damage.ts";
import { reasonsOf } from "./findings.ts";
import { isKnownName } from "./known-names.ts";

/** A restore point of a VM that needs one point of one disk. */
export interface VmReference extends ListedVmPoint {
  readonly sequence: number;
  readonly manifestId: string;
}

/** Who needs what, by disk. A manifest that cannot be read is a finding, and the next one is read. */
export async function readVmReferences(
  check: RepositoryCheck,
): Promise<Map<string, VmReference[]>> {
  const { repository, options, signal } = check;
  const references = new Map<string, VmReference[]>();
  for (const vmId of options.vmIds ?? [undefined]) {
    for await (const point of listVmPoints(repository, vmId, signal)) {
      // A name that the format does not know is found as a foreign one.
      if (!isKnownName(objectNames.vmPoint(point.vmId, point.pointId))) continue;
      check.progress.checkedObjects++;
      check.progress.checkedPoints++;
      await addReferences(check, point, references);
    }
  }
  return references;
}

async function addReferences(
  { repository, findings, signal }: RepositoryCheck,
  { vmId, pointId }: ListedVmPoint,
  references: Map<string, VmReference[]>,
): Promise<void> {
  try {
    const point = await readVmPoint(repository, vmId, pointId, signal);
    for (const { diskPoint } of point.disks) {
      const { diskId, sequence, manifestId } = diskPoint;
      const ofDisk = references.get(diskId) ?? [];
      references.set(diskId, ofDisk);
      ofDisk.push({ vmId, pointId, sequence, manifestId });
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    // Retention deleted it between listing and reading.
    if (codeOf(error) === "VmPointNotFound") return;
    findings.add({
      kind: "unreadable-metadata",
      object: objectNames.vmPoint(vmId, pointId),
      affectedPoints: [{ vmId, pointId }],
      message: reasonsOf(error),
    });
  }
}
