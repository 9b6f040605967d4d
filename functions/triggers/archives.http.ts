import { z } from "zod";
import { retrievalRequestSchema, type Archive, type Retrieval } from "#core/model/archive.ts";
import { archiveIdOf, archiveSessionId, slotKey } from "#core/model/session.ts";
import { planRetrieval } from "#core/restore/plan-retrieval.ts";
import type { ApiCall, Endpoint } from "../http/endpoint.ts";
import { notFound, Problem, wrongField } from "../http/problem.ts";
import type { ArchivePointInput } from "../orchestrators/archive-points.ts";
import { ORCHESTRATORS } from "../orchestrators/names.ts";
import type { RetrieveArchiveInput } from "../orchestrators/retrieve-archive.ts";

/** `/api/v1/archives` and `/api/v1/retrievals`. */
const RETRIEVAL_ID_BYTES = 4;
const DAY_MS = 24 * 3600 * 1000;

const archiveRequestSchema = z.strictObject({
  /** Azure bills 180 days at least. */
  retentionDays: z.number().int().min(1).max(36_500).default(365),
});

const listQuerySchema = z.strictObject({
  vmId: z.string().min(1).optional(),
  repositoryId: z.string().min(1).optional(),
});

const extendRequestSchema = z.strictObject({ days: z.number().int().min(1).max(180) });

function summaryOf({ point, ...archive }: Archive): object {
  return { ...archive, pointId: point.pointId, takenAt: point.takenAt };
}

async function findArchive(call: ApiCall): Promise<Archive> {
  const archiveId = call.param("archiveId");
  const found = await call.context.records.archives.read(archiveId);
  if (found === undefined) throw notFound("Archive", archiveId);
  return found.value;
}

async function findRetrieval(call: ApiCall): Promise<Retrieval> {
  const retrievalId = call.param("retrievalId");
  const found = await call.context.records.retrievals.read(retrievalId);
  if (found === undefined) throw notFound("Retrieval", retrievalId);
  return found.value;
}

const archiveEndpoints: readonly Endpoint[] = [
  {
    name: "archive-restore-point",
    method: "POST",
    route: "v1/restore-points/{pointId}/archive",
    async handle(call) {
      const { records, clock, events, config } = call.context;
      const restorePointId = call.param("pointId");
      const { retentionDays } = await call.body(archiveRequestSchema);
      const point = (await records.points.read(restorePointId))?.value;
      if (point === undefined) throw notFound("RestorePoint", restorePointId);
      if (point.state !== "available" || point.damaged !== undefined)
        throw new Problem(409, "RestorePointUnusable", "The restore point is not whole.");
      const now = clock();
      const archiveId = archiveIdOf(restorePointId, slotKey(now));
      const sessionId = archiveSessionId(archiveId);
      const { vmId, vmName, repositoryId } = point;
      const names = { sessionId, archiveId, restorePointId, repositoryId, vmId, vmName } as const;
      const inserted = await records.sessions.insert(sessionId, {
        ...names,
        type: "archive",
        state: "running",
        trigger: "manual",
        startedAt: now.toISOString(),
        jobId: sessionId,
        keepUntil: new Date(now.getTime() + retentionDays * DAY_MS).toISOString(),
      });
      if (inserted === "exists")
        throw new Problem(409, "JustStarted", `Session '${sessionId}' started this second.`);
      const input: ArchivePointInput = {
        ...names,
        retentionDays,
        trigger: "manual",
        settings: config.run,
      };
      await call.client.startOnce(ORCHESTRATORS.archivePoint, sessionId, input);
      events.repositoryRunRequested({ sessionId, repositoryId });
      const location = `/api/v1/sessions/${sessionId}`;
      return { status: 202, body: { sessionId, archiveId }, location };
    },
  },
  {
    name: "list-archives",
    method: "GET",
    route: "v1/archives",
    async handle(call) {
      const filter = call.query(listQuerySchema);
      const found: Archive[] = [];
      for await (const { value } of call.context.records.archives.list()) {
        if (filter.vmId !== undefined && value.vmId !== filter.vmId) continue;
        if (filter.repositoryId !== undefined && value.repositoryId !== filter.repositoryId)
          continue;
        found.push(value);
      }
      found.sort((left, right) => Date.parse(right.archivedAt) - Date.parse(left.archivedAt));
      return { status: 200, body: { value: found.map(summaryOf) } };
    },
  },
  {
    name: "get-archive",
    method: "GET",
    route: "v1/archives/{archiveId}",
    async handle(call) {
      return { status: 200, body: await findArchive(call) };
    },
  },
  {
    name: "delete-archive",
    method: "DELETE",
    route: "v1/archives/{archiveId}",
    async handle(call) {
      const { archiveId, immutableUntil } = await findArchive(call);
      if (
        immutableUntil !== undefined &&
        Date.parse(immutableUntil) > call.context.clock().getTime()
      )
        throw new Problem(409, "ArchiveImmutable", `It is immutable until ${immutableUntil}.`);
      await call.context.records.archives.update(archiveId, (each) => ({
        ...each,
        state: "expiring",
      }));
      return { status: 202, body: { archiveId, state: "expiring" } };
    },
  },
];

const retrievalEndpoints: readonly Endpoint[] = [
  {
    name: "start-retrieval",
    method: "POST",
    route: "v1/archives/{archiveId}/retrievals",
    async handle(call) {
      const { records, clock, randomHex, config, events } = call.context;
      const request = await call.body(retrievalRequestSchema);
      const archive = await findArchive(call);
      const { archiveId, vmId, vmName, repositoryId } = archive;
      if (archive.state !== "available")
        throw new Problem(409, "ArchiveExpiring", "The archive is being deleted.");
      const known = archive.point.disks.map(({ diskId }) => diskId);
      const unknown = request.diskIds?.find((diskId) => !known.includes(diskId));
      if (unknown !== undefined)
        throw wrongField("diskIds", `the archive has no disk '${unknown}'`);
      const { priority, tier, availableDays } = request;
      const asked = { priority, tier, availableDays, diskIds: request.diskIds ?? known };
      const now = clock();
      const plan = planRetrieval(archive, asked, now);
      const retrievalId = `${slotKey(now)}-${randomHex(RETRIEVAL_ID_BYTES)}`;
      const sessionId = `retrieval-${retrievalId}`;
      const { storedBytes, expectedAt } = plan;
      const names = { sessionId, retrievalId, archiveId, vmId, repositoryId };
      await records.sessions.insert(sessionId, {
        ...names,
        type: "retrieval",
        state: "running",
        trigger: "manual",
        startedAt: now.toISOString(),
        vmName,
        jobId: sessionId,
      });
      await records.retrievals.insert(retrievalId, {
        ...names,
        ...asked,
        state: "retrieving",
        requestedAt: now.toISOString(),
        expectedAt,
        storedBytes,
      });
      const input: RetrieveArchiveInput = { sessionId, retrievalId, settings: config.run };
      await call.client.startOnce(ORCHESTRATORS.retrieveArchive, sessionId, input);
      events.repositoryRunRequested({ sessionId, repositoryId });
      return {
        status: 202,
        body: { retrievalId, sessionId, plan },
        location: `/api/v1/retrievals/${retrievalId}`,
      };
    },
  },
  {
    name: "list-retrievals",
    method: "GET",
    route: "v1/retrievals",
    async handle({ context }) {
      const value: Retrieval[] = [];
      for await (const found of context.records.retrievals.list()) value.push(found.value);
      value.sort((left, right) => Date.parse(right.requestedAt) - Date.parse(left.requestedAt));
      return { status: 200, body: { value } };
    },
  },
  {
    name: "get-retrieval",
    method: "GET",
    route: "v1/retrievals/{retrievalId}",
    async handle(call) {
      return { status: 200, body: await findRetrieval(call) };
    },
  },
  {
    name: "extend-retrieval",
    method: "POST",
    route: "v1/retrievals/{retrievalId}/extend",
    async handle(call) {
      const { days } = await call.body(extendRequestSchema);
      const { retrievalId } = await findRetrieval(call);
      let isExtended = false;
      const after = await call.context.records.retrievals.update(retrievalId, (each) => {
        isExtended = each.state === "available" && each.windowEndsAt !== undefined;
        if (!isExtended || each.windowEndsAt === undefined) return undefined;
        const windowEndsAt = new Date(Date.parse(each.windowEndsAt) + days * DAY_MS).toISOString();
        return { ...each, windowEndsAt };
      });
      if (!isExtended)
        throw new Problem(409, "RetrievalNotAvailable", `It is ${after?.state ?? "gone"}.`);
      return { status: 200, body: after ?? {} };
    },
  },
  {
    name: "end-retrieval",
    method: "DELETE",
    route: "v1/retrievals/{retrievalId}",
    async handle(call) {
      const { retrievalId } = await findRetrieval(call);
      const windowEndsAt = call.context.clock().toISOString();
      const after = await call.context.records.retrievals.update(retrievalId, (each) =>
        each.state === "available" ? { ...each, windowEndsAt } : undefined,
      );
      if (after?.state === "retrieving")
        throw new Problem(409, "RetrievalRunning", "Its copies are on their way: end it later.");
      return { status: 202, body: after ?? {} };
    },
  },
];

export const archiveAndRetrievalEndpoints = [...archiveEndpoints, ...retrievalEndpoints];
