/**
 * What the command line asks a running stack. A *verb* has an input and an output, both JSON, checked
 * on both sides. File names are absolute paths: both run on one machine.
 */
import { z } from "zod";

const none = z.object({});
const tags = z.record(z.string(), z.string());

export const stackAddressesSchema = z.object({
  api: z.string(),
  resourceManager: z.string(),
  /** Issuer of tokens for the API. */
  issuer: z.string(),
  blob: z.string(),
});
export type StackAddresses = z.infer<typeof stackAddressesSchema>;

export const diskRowSchema = z.object({
  name: z.string(),
  resourceId: z.string(),
  region: z.string(),
  sizeBytes: z.number(),
  state: z.string(),
  vm: z.string().optional(),
});
export type DiskRow = z.infer<typeof diskRowSchema>;

export const vmRowSchema = z.object({
  name: z.string(),
  vmId: z.string(),
  resourceId: z.string(),
  region: z.string(),
  state: z.string(),
  disks: z.array(
    z.object({
      name: z.string(),
      slot: z.string(),
      sizeBytes: z.number(),
      /** Size of the image that the disk once came from; the disk may be larger. */
      imageSizeBytes: z.number().optional(),
    }),
  ),
  tags,
});
export type VmRow = z.infer<typeof vmRowSchema>;

export const resourceRowSchema = z.object({
  resourceId: z.string(),
  type: z.string(),
  name: z.string(),
  region: z.string().optional(),
  tags,
  /** Expiry of the live SAS, if there is one. */
  sasExpiresAt: z.string().optional(),
  /** Why nothing uses it, if nothing does. */
  orphan: z.string().optional(),
});
export type ResourceRow = z.infer<typeof resourceRowSchema>;

export const verbs = {
  status: {
    input: none,
    output: z.object({
      processId: z.number(),
      stateDirectory: z.string(),
      startedAt: z.string(),
      functionsHost: z.enum(["running", "stopped"]),
      addresses: stackAddressesSchema,
    }),
  },
  stop: { input: none, output: none },
  token: { input: none, output: z.object({ token: z.string(), expiresOn: z.number() }) },
  createVm: {
    input: z.object({
      name: z.string().min(1),
      region: z.string().min(1),
      osDisk: z.string().min(1),
      dataDisks: z.array(z.string().min(1)).max(64),
      tags,
    }),
    output: vmRowSchema,
  },
  deleteVm: { input: z.object({ name: z.string().min(1) }), output: none },
  evictVm: { input: z.object({ name: z.string().min(1) }), output: none },
  listVms: { input: none, output: z.array(vmRowSchema) },
  listDisks: { input: none, output: z.array(diskRowSchema) },
  writeDisk: {
    input: z.object({
      disk: z.string().min(1),
      offsetBytes: z.number().int().min(0),
      file: z.string().min(1),
    }),
    output: z.object({ writtenBytes: z.number() }),
  },
  exportDisk: {
    input: z.object({ disk: z.string().min(1), out: z.string().min(1) }),
    output: z.object({ sizeBytes: z.number() }),
  },
  listResources: { input: none, output: z.array(resourceRowSchema) },
} as const;

export type VerbName = keyof typeof verbs;
export type VerbInput<Name extends VerbName> = z.infer<(typeof verbs)[Name]["input"]>;
export type VerbOutput<Name extends VerbName> = z.infer<(typeof verbs)[Name]["output"]>;
export type VerbHandlers = {
  readonly [Name in VerbName]: (input: VerbInput<Name>) => Promise<VerbOutput<Name>>;
};

/** How a command finds the stack of a state directory: the file `stack.json`, mode 0600. */
export const stackFileSchema = z.object({
  processId: z.number(),
  controlUrl: z.string(),
  /** Whoever can read the file may command the stack. */
  controlToken: z.string(),
});
export type StackFile = z.infer<typeof stackFileSchema>;
export const stackFileName = "stack.json";

export const failureSchema = z.object({ error: z.string() });
