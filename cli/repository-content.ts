/** What lies in a repository, counted from the names of its objects. */
import { listKeySlots, type Repository } from "#core/repository/index.ts";

export interface KeySlotSummary {
  readonly slotId: string;
  readonly type: string;
}

export interface RepositoryContent {
  readonly vmCount: number;
  readonly pointCount: number;
  readonly archiveCount: number;
  readonly diskCount: number;
  /** Of the current repository key. */
  readonly keySlots: readonly KeySlotSummary[];
  readonly objects: readonly {
    readonly kind: string;
    readonly count: number;
    readonly sizeBytes: number;
  }[];
}

const ARCHIVE_MANIFEST = /^archives\/[^/]+\/[^/]+\/archive\.manifest$/;

/** First that matches; what matches none is `other`. */
const KINDS: readonly (readonly [kind: string, name: RegExp])[] = [
  ["restore points", /^vms\/[^/]+\/points\/[^/]+\.manifest$/],
  ["disk points", /^disks\/[^/]+\/points\/[0-9]{10}\.manifest$/],
  ["packs", /^disks\/[^/]+\/packs\/[0-9a-f]{8}\/[0-9a-f]{32}\.pack$/],
  ["indexes", /^disks\/[^/]+\/indexes\/[0-9a-f]{32}\.index$/],
  ["archives", /^archives\//],
  ["retrievals", /^retrievals\//],
  ["quarantine", /^quarantine\//],
  ["keys", /^(repo\.json$|README\.txt$|keys\/)/],
];

/** Lists every object once; memory grows with the number of VMs and disks only. */
export async function describeContent(
  repository: Repository,
  signal: AbortSignal,
): Promise<RepositoryContent> {
  const vms = new Set<string>();
  const disks = new Set<string>();
  let archiveCount = 0;
  const sums = new Map<string, { count: number; sizeBytes: number }>();
  for await (const { name, sizeBytes } of repository.store.list("", signal)) {
    const kind = KINDS.find(([, pattern]) => pattern.test(name))?.[0] ?? "other";
    const owner = name.split("/", 2)[1] ?? "";
    if (kind === "restore points") vms.add(owner);
    if (ARCHIVE_MANIFEST.test(name)) archiveCount += 1;
    if (kind === "disk points") disks.add(owner);
    const sum = sums.get(kind) ?? { count: 0, sizeBytes: 0 };
    sums.set(kind, { count: sum.count + 1, sizeBytes: sum.sizeBytes + sizeBytes });
  }
  return {
    vmCount: vms.size,
    pointCount: sums.get("restore points")?.count ?? 0,
    diskCount: disks.size,
    archiveCount,
    keySlots: (await listKeySlots(repository, signal)).map(({ slotId, type }) => ({
      slotId,
      type,
    })),
    objects: [...sums].map(([kind, sum]) => ({ kind, ...sum })),
  };
}
