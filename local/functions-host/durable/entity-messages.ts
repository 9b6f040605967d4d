/**
 * Messages between orchestrations and entities, as DurableTask's entity protocol has them: the
 * `Input` of an EventRaised named `op` (request) or by the request's id (reply). Locks belong to V4 of
 * the out-of-process protocol, which the extension bundle of today does not speak: the library
 * refuses `lock()` itself.
 */
import { z } from "zod";

export const entityOperationEvent = "op";

export const entityRequestSchema = z.object({
  op: z.string(),
  signal: z.boolean().optional(),
  input: z.string().optional(),
  id: z.string(),
  parent: z.string().optional(),
  parentExecution: z.string().optional(),
});
export type EntityRequest = z.infer<typeof entityRequestSchema>;

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
