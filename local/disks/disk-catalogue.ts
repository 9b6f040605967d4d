import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";

/** What survives a restart beside the layers' bytes: one JSON file, replaced as a whole. */
const instant = z.iso.datetime();

/** `offered`: waits for the write grant; `active`: bytes may come; `ended`: a disk like any other. */
const uploadSchema = z.object({
  phase: z.enum(["offered", "active", "ended"]),
  hasFooter: z.boolean(),
});

const resourceSchema = z.object({
  id: z.string(),
  uniqueId: z.guid(),
  sizeBytes: z.number().int(),
  createdAt: instant,
  layerId: z.string(),
  /** First two segments of the data plane's path; Azure's host label and container. */
  storeName: z.string(),
  containerName: z.string(),
});

const diskSchema = resourceSchema.extend({
  familyId: z.guid(),
  sourceUniqueId: z.guid().nullable(),
  upload: uploadSchema.nullable(),
  /** Creation times of incremental snapshots inside the rate window, deleted ones included. */
  snapshotTimes: z.array(instant),
});

const snapshotSchema = resourceSchema.extend({
  familyId: z.guid().nullable(),
  sourceUniqueId: z.guid(),
});

const grantSchema = z.object({
  kind: z.enum(["disk", "snapshot"]),
  id: z.string(),
  access: z.enum(["Read", "Write"]),
  identifier: z.guid(),
  grantedAt: instant,
  expiresAt: instant,
});

const catalogueSchema = z.object({
  version: z.literal(1),
  /** Base64 of the key that signs every SAS. */
  sasKey: z.string(),
  layers: z.array(z.object({ id: z.string(), parentId: z.string().nullable() })),
  disks: z.array(diskSchema),
  snapshots: z.array(snapshotSchema),
  grants: z.array(grantSchema),
});

export type DiskRecord = z.infer<typeof diskSchema>;
export type SnapshotRecord = z.infer<typeof snapshotSchema>;
export type GrantRecord = z.infer<typeof grantSchema>;
export type CatalogueContent = z.infer<typeof catalogueSchema>;

/** undefined when there is no catalogue yet. */
export async function readCatalogue(path: string): Promise<CatalogueContent | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  return catalogueSchema.parse(JSON.parse(text));
}

export async function writeCatalogue(path: string, content: CatalogueContent): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.new`, JSON.stringify(content, undefined, 1));
  await rename(`${path}.new`, path);
}
