import { z } from "zod";
import { slotKey } from "#core/model/session.ts";
import type { RestorePoint } from "#core/model/restore-point.ts";
import { findConflicts } from "../activities/restores.ts";
import { getRestorable, type Restorable } from "../activities/restorable.ts";
import type { ApiCall, Endpoint } from "../http/endpoint.ts";
import { notFound, Problem, wrongField } from "../http/problem.ts";
import { ORCHESTRATORS } from "../orchestrators/names.ts";
import type { RestoreVmInput } from "../orchestrators/restore-vm.ts";

/** `/api/v1/restore-points` and `/api/v1/restores`. */
const SESSION_ID_BYTES = 4;

const pointQuerySchema = z.strictObject({
  vmId: z.string().min(1).optional(),
  repositoryId: z.string().min(1).optional(),
});

const keepRequestSchema = z.strictObject({
  /** The point stays until then; `null`: as long as its policy says, else for ever. */
  keepUntil: z.iso.datetime().nullable(),
});

const restoreRequestSchema = z.strictObject({
  /** One of both: the restore point, or what was retrieved of an archive. */
  restorePointId: z.string().min(1).max(256).optional(),
  retrievalId: z.string().min(1).max(256).optional(),
  /** Name of the VM to make: letters, digits and hyphens. */
  vmName: z
    .string()
    .max(64)
    .regex(/^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/, "is no name of a virtual machine"),
  resourceGroupId: z
    .string()
    .regex(/^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+$/i, "is no id of a resource group")
    .optional(),
  subnetId: z
    .string()
    .regex(
      /^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+\/providers\/Microsoft\.Network\/virtualNetworks\/[^/]+\/subnets\/[^/]+$/i,
      "is no id of a subnet",
    )
    .optional(),
});

function summaryOf({ vm, ...point }: RestorePoint): object {
  return { ...point, vmSize: vm.vmSize, location: vm.location };
}

async function findRestorable(
  { context }: ApiCall,
  { restorePointId, retrievalId }: z.infer<typeof restoreRequestSchema>,
): Promise<Restorable> {
  if ((restorePointId === undefined) === (retrievalId === undefined))
    throw wrongField("restorePointId", "say either restorePointId or retrievalId");
  const { points, retrievals } = context.records;
  if (restorePointId !== undefined && (await points.read(restorePointId)) === undefined)
    throw wrongField("restorePointId", `there is no restore point '${restorePointId}'`);
  if (retrievalId !== undefined && (await retrievals.read(retrievalId)) === undefined)
    throw wrongField("retrievalId", `there is no retrieval '${retrievalId}'`);
  return getRestorable(context, { restorePointId: restorePointId ?? "", retrievalId });
}

export const restoreEndpoints: readonly Endpoint[] = [
  {
    name: "list-restore-points",
    method: "GET",
    route: "v1/restore-points",
    async handle(call) {
      const filter = call.query(pointQuerySchema);
      const options = filter.vmId === undefined ? {} : { prefix: `${filter.vmId}-` };
      const points: RestorePoint[] = [];
      for await (const { value } of call.context.records.points.list(options)) {
        if (filter.repositoryId === undefined || value.repositoryId === filter.repositoryId)
          points.push(value);
      }
      points.sort((left, right) => Date.parse(right.takenAt) - Date.parse(left.takenAt));
      return { status: 200, body: { value: points.map(summaryOf) } };
    },
  },
  {
    name: "get-restore-point",
    method: "GET",
    route: "v1/restore-points/{pointId}",
    async handle(call) {
      const pointId = call.param("pointId");
      const found = await call.context.records.points.read(pointId);
      if (found === undefined) throw notFound("RestorePoint", pointId);
      return { status: 200, body: found.value };
    },
  },
  {
    name: "keep-restore-point",
    method: "PUT",
    route: "v1/restore-points/{pointId}/keep-until",
    async handle(call) {
      const pointId = call.param("pointId");
      const { keepUntil } = await call.body(keepRequestSchema);
      const { records } = call.context;
      const found = await records.points.update(pointId, ({ keepUntil: _before, ...point }) =>
        point.state === "expiring"
          ? undefined
          : { ...point, ...(keepUntil === null ? {} : { keepUntil }) },
      );
      if (found === undefined) throw notFound("RestorePoint", pointId);
      if (found.state === "expiring")
        throw new Problem(409, "RestorePointExpiring", "Retention has let the restore point go.");
      return { status: 200, body: summaryOf(found) };
    },
  },
  {
    name: "start-restore",
    method: "POST",
    route: "v1/restores",
    async handle(call) {
      const { records, clock, randomHex, events, config } = call.context;
      const request = await call.body(restoreRequestSchema);
      const { point } = await findRestorable(call, request);
      const conflicts = await findConflicts(call.context, point, request);
      if (conflicts.length > 0)
        throw new Problem(409, "RestoreConflict", `Nothing was restored: ${conflicts.join("; ")}.`);
      const now = clock();
      const sessionId = `restore-${slotKey(now)}-${randomHex(SESSION_ID_BYTES)}`;
      const { vmName, resourceGroupId, subnetId, retrievalId } = request;
      const restorePointId = point.pointId;
      await records.sessions.insert(sessionId, {
        sessionId,
        type: "restore",
        state: "running",
        trigger: "manual",
        startedAt: now.toISOString(),
        vmName,
        repositoryId: point.repositoryId,
        restorePointId,
        jobId: sessionId,
        restoreRequest: {
          restorePointId,
          vmName,
          ...(resourceGroupId === undefined ? {} : { resourceGroupId }),
          ...(subnetId === undefined ? {} : { subnetId }),
          ...(retrievalId === undefined ? {} : { retrievalId }),
        },
      });
      const input: RestoreVmInput = { sessionId, settings: config.run };
      await call.client.startOnce(ORCHESTRATORS.restoreVm, sessionId, input);
      events.restoreRequested({ sessionId, restorePointId });
      return { status: 202, body: { sessionId }, location: `/api/v1/sessions/${sessionId}` };
    },
  },
];
