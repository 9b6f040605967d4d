import { z } from "zod";
import type { Stack } from "#local/stack.ts";
import { listResources } from "#local/stack/resource-list.ts";
import type { TestStack } from "./test-stack.ts";

const actionSchema = z.object({ kind: z.string(), resourceId: z.string() });
const planSchema = z.object({
  actions: z.array(actionSchema),
  findings: z.array(z.unknown()),
  diskAccesses: z.array(
    z.object({
      subscriptionId: z.string(),
      actions: z.array(actionSchema),
      findings: z.array(z.unknown()),
    }),
  ),
});

/** What the product says beforehand that it would make for a region and a run of all its machines. */
export interface ShownPlan {
  /** Lower-case, sorted. */
  readonly ids: readonly string[];
  /** Of the actions of one kind. */
  idsOf(kind: string): readonly string[];
}

/** Asks for a plan, which changes nothing, and refuses one that only a person could go on with. */
export async function readRegionPlan({ api }: TestStack, region: string): Promise<ShownPlan> {
  const plan = await api.call("POST", `/regions/${region}/plan`, { answer: planSchema });
  const findings = [...plan.findings, ...plan.diskAccesses.flatMap((each) => each.findings)];
  if (findings.length > 0) throw new Error(`findings in ${region}: ${JSON.stringify(findings)}`);
  const actions = [...plan.actions, ...plan.diskAccesses.flatMap((each) => each.actions)];
  const idsOf = (kind?: string): readonly string[] =>
    actions
      .filter((action) => kind === undefined || action.kind === kind)
      .map(({ resourceId }) => resourceId.toLowerCase())
      .sort();
  return { ids: idsOf(), idsOf };
}

/** Lower-case ids of all resources of a type, sorted. */
export function idsOfType(stack: Stack, type: string): readonly string[] {
  return allIds(stack, (each) => each === type.toLowerCase());
}

/** Lower-case ids of all resources, sorted. */
export function allIds(stack: Stack, isAsked: (type: string) => boolean = () => true): string[] {
  return listResources(stack.cloud.resourceManager, stack.cloud.disks)
    .filter(({ type }) => isAsked(type.toLowerCase()))
    .map(({ resourceId }) => resourceId.toLowerCase())
    .sort();
}
