/** What lies in a repository, counted from the names of its objects. */
import { z } from "zod";
import { objectNames, type Repository } from "#core/repository/index.ts";

export interface KeySlotSummary {
  readonly slotId: string;
  readonly type: string;
  /** False for slots of an earlier repository key. */
  readonly isCurrent: boolean;
}

export interface RepositoryContent {
  readonly vmCount: number;
  readonly pointCount: number;
  readonly diskCount: number;
  readonly keySlots: readonly KeySlotSummary[];
  readonly objects: readonly {
    readonly kind: string;
    readonly count: number;
    readonly sizeBytes: number;
  }[];
}

/** First that matches; what matches none is `other`. */
const KINDS: readonly (readonly [kind: string, name: RegExp])[] = [
  ["restore points", /^vms\/[^/]+\/points\/[^/]+\.manifest$/],
  ["disk points", /^disks\/[^/]+\/points\/[0-9]{10}\.manifest$/],
  ["packs", /^disks\/[^/]+\/packs\/[0-9a-f]{8}\/[0-9a-f]{32}\.pack$/],
  ["indexes", /^disks\/[^/]+\/indexes\/[0-9a-f]{32}\.index$/],
  ["archives", /^archives\//],
  ["retrievals", /^retrievals\//],
  ["quarantine", /^quarantine\//],
  ["keys", /^(repo\.json$|keys\/)/],
];

const slotSchema = z.object({ slotId: z.string(), type: z.string() });

/** Lists every object once; memory grows with the number of VMs and disks only. */
export async function describeContent(
  repository: Repository,
  signal: AbortSignal,
): Promise<RepositoryContent> {
  const vms = new Set<string>();
  const disks = new Set<string>();
  const sums = new Map<string, { count: number; sizeBytes: number }>();
  for await (const { name, sizeBytes } of repository.store.list("", signal)) {
    const kind = KINDS.find(([, pattern]) => pattern.test(name))?.[0] ?? "other";
    const owner = name.split("/", 2)[1] ?? "";
    if (kind === "restore points") vms.add(owner);
    if (kind === "disk points") disks.add(owner);
    const sum = sums.get(kind) ?? { count: 0, sizeBytes: 0 };
    sums.set(kind, { count: sum.count + 1, sizeBytes: sum.sizeBytes + sizeBytes });
  }
  return {
    vmCount: vms.size,
    pointCount: sums.get("restore points")?.count ?? 0,
    diskCount: disks.size,
    keySlots: await readKeySlots(repository, signal),
    objects: [...sums].map(([kind, sum]) => ({ kind, ...sum })),
  };
}

async function readKeySlots(
  { store, descriptor }: Repository,
  signal: AbortSignal,
): Promise<KeySlotSummary[]> {
  const slots: KeySlotSummary[] = [];
  const current = objectNames.keySlots(descriptor.keyId);
  for await (const { name } of store.list("keys/", signal)) {
    if (!name.endsWith(".json")) continue;
    const bytes = await store.read(name, undefined, signal);
    const isCurrent = name.startsWith(current);
    const slotId = name.slice(name.lastIndexOf("/") + 1, -".json".length);
    slots.push({ slotId, isCurrent, type: typeOf(bytes) });
  }
  return slots;
}

function typeOf(bytes: Uint8Array): string {
  try {
    return slotSchema.parse(JSON.parse(Buffer.from(bytes).toString("utf8"))).type;
  } catch {
    // Shown as it is: another slot opened the repository.
    return "damaged";
  }
}
