/**
 * Messages between orchestrations and entities, as DurableTask's entity protocol has them: the
 * `Input` of an EventRaised named `op` (request), `release`, or the request's id (reply).
 */
import { z } from "zod";

export const entityEventNames = { operation: "op", release: "release" } as const;

/** A lock request walks through `lockset`; every entity grants, the last one answers. */
export const entityRequestSchema = z.object({
  op: z.string().nullable(),
  signal: z.boolean().optional(),
  input: z.string().optional(),
  id: z.string(),
  parent: z.string().optional(),
  parentExecution: z.string().optional(),
  lockset: z.array(z.string()).optional(),
  pos: z.int().optional(),
});
export type EntityRequest = z.infer<typeof entityRequestSchema>;

export const entityReleaseSchema = z.object({ parent: z.string(), id: z.string() });

/** What the library's `ResponseMessage` reads. */
export interface EntityReply {
  readonly result: string | null;
  readonly exceptionType?: "Error";
}

/** Instance id of an entity: `@name@key`, the name in lower case. */
export function entityInstanceId(name: string, key: string): string {
  return `@${name.toLowerCase()}@${key}`;
}

/** Parts of an entity's instance id; the key may hold `@`. */
export function parseEntityInstanceId(instanceId: string): { name: string; key: string } {
  const [, name = "", ...keyParts] = instanceId.split("@");
  return { name, key: keyParts.join("@") };
}

export function isEntityInstanceId(instanceId: string): boolean {
  return instanceId.startsWith("@");
}
