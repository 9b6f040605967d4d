import { ArmError } from "../arm-error.ts";
import { typeOfResource, type Core } from "../core.ts";
import type { Operation } from "../operations.ts";
import type { Resource } from "../provider.ts";
import { parseResourceId } from "../resource-id.ts";

/**
 * Deletes what a group holds, each resource through its provider, so that processes, bytes and
 * accounts behind it go too. Resources that others still use are tried again after those;
 * what can never go blocks the deletion of the group, as in Azure.
 */
export async function emptyGroup(
  core: Core,
  operation: Operation,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const left = core.resources.descendants(operation.resourceId).filter(isTopLevel);
    if (left.length === 0) return;
    const refusals: ArmError[] = [];
    for (const resource of left) {
      signal.throwIfAborted();
      try {
        await removeOne(core, resource, { operation, signal });
      } catch (error) {
        if (!(error instanceof ArmError)) throw error;
        refusals.push(error);
      }
    }
    if (refusals.length < left.length) continue;
    throw new ArmError(
      409,
      "ResourceGroupDeletionBlocked",
      `Deletion of resource group '${operation.resourceId}' failed as resources with identifiers '${left.map(({ id }) => id).join(",")}' could not be deleted. The provisioning state of the resource group will be rolled back.`,
      { details: refusals.map(({ code, message }) => ({ code, message })) },
    );
  }
}

async function removeOne(
  core: Core,
  resource: Resource,
  run: { operation: Operation; signal: AbortSignal },
): Promise<void> {
  const parsedId = parseResourceId(resource.id);
  const type = parsedId === undefined ? undefined : typeOfResource(core, parsedId);
  const { definition } = type ?? {};
  // A neighbour's deletion may have taken it along.
  if (core.resources.get(resource.id) === undefined) return;
  if (definition?.remove !== undefined && parsedId !== undefined) {
    const outcome = await definition.remove({
      ...core.context,
      id: resource.id,
      parsedId,
      apiVersion: definition.apiVersions[0] ?? "",
      query: new Map([["forcedeletion", "true"]]),
      principalId: "",
      existing: resource,
    });
    if (outcome.kind === "accepted")
      await definition.work?.[outcome.work.name]?.({
        ...core.context,
        id: resource.id,
        operationId: run.operation.id,
        input: outcome.work.input ?? {},
        current: () => core.resources.get(resource.id),
        signal: run.signal,
      });
  }
  core.resources.delete(resource.id);
}

function isTopLevel(resource: Resource): boolean {
  return parseResourceId(resource.id)?.types.length === 1;
}
