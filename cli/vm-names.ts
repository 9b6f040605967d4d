/** Names in a VM's configuration, whose shape may be of another version: what is missing is empty. */
import { z } from "zod";

const namedSchema = z.object({ name: z.string() });
const diskSchema = z.object({ diskId: z.string(), name: z.string() });

export function vmNameIn(vm: unknown): string {
  return namedSchema.safeParse(vm).data?.name ?? "";
}

export function diskNameIn(vm: unknown, diskId: string): string {
  const osDisk = z.object({ osDisk: diskSchema }).safeParse(vm).data?.osDisk;
  const dataDisks = z.object({ dataDisks: z.array(diskSchema) }).safeParse(vm).data?.dataDisks;
  const disks = [...(osDisk === undefined ? [] : [osDisk]), ...(dataDisks ?? [])];
  return disks.find((disk) => disk.diskId === diskId)?.name ?? "";
}
