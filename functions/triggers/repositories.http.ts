import {
  repositoryInputSchema,
  type Repository,
  type RepositoryInput,
} from "#core/model/repository.ts";
import type { AppContext } from "../app-context.ts";
import { secretKey } from "../config.ts";
import type { ApiCall, Endpoint } from "../http/endpoint.ts";
import { notFound, Problem, wrongField } from "../http/problem.ts";
import type { TypedRecord } from "../typed-table.ts";
import { changed } from "./policies.http.ts";

/** `/api/v1/repositories`: folders in blob containers; passwords are named, never sent. */
const REPOSITORY_ID_BYTES = 6;

function checkSecret({ config }: AppContext, { encryption }: RepositoryInput): void {
  if (encryption.kind !== "password") return;
  const key = secretKey(encryption.secretName);
  if (!config.secrets.has(key))
    throw wrongField("encryption.secretName", `the app has no setting HOLDFAST_SECRET_${key}`);
}

async function checkPlace(
  { records }: AppContext,
  input: RepositoryInput,
  except?: string,
): Promise<void> {
  for await (const { id, value } of records.repositories.list()) {
    if (id !== except && placeOf(value) === placeOf(input))
      throw new Problem(409, "RepositoryExists", `Repository '${id}' is in this folder already.`);
  }
}

type Immutability = Repository["immutability"];

function isWeaker(after: Immutability, before: Immutability): boolean {
  const daysOf = (each: Immutability): number => (each.kind === "on" ? each.days : 0);
  return daysOf(after) < daysOf(before);
}

function placeOf({ blobServiceUrl, container, folder }: RepositoryInput): string {
  return `${blobServiceUrl.replace(/\/+$/, "").toLowerCase()}/${container}/${folder}`;
}

async function findRepository(call: ApiCall): Promise<TypedRecord<Repository>> {
  const repositoryId = call.param("repositoryId");
  const found = await call.context.records.repositories.read(repositoryId);
  if (found === undefined) throw notFound("Repository", repositoryId);
  if (call.ifVersion !== undefined && call.ifVersion !== found.version) throw changed("Repository");
  return found;
}

async function hasPoints({ records }: AppContext, repositoryId: string): Promise<boolean> {
  for await (const { value } of records.points.list())
    if (value.repositoryId === repositoryId) return true;
  for await (const { value } of records.archives.list())
    if (value.repositoryId === repositoryId) return true;
  return false;
}

async function checkUnused(context: AppContext, repositoryId: string): Promise<void> {
  for await (const { value } of context.records.policies.list()) {
    if (value.repositoryId === repositoryId)
      throw new Problem(409, "RepositoryInUse", `Policy '${value.policyId}' writes to it.`);
  }
  if (await hasPoints(context, repositoryId))
    throw new Problem(409, "RepositoryInUse", "There are restore points or archives in it.");
}

export const repositoryEndpoints: readonly Endpoint[] = [
  {
    name: "create-repository",
    method: "POST",
    route: "v1/repositories",
    async handle(call) {
      const { records, clock, randomHex } = call.context;
      const input = await call.body(repositoryInputSchema);
      checkSecret(call.context, input);
      await checkPlace(call.context, input);
      const now = clock().toISOString();
      const repositoryId = `r-${randomHex(REPOSITORY_ID_BYTES)}`;
      const repository = { ...input, repositoryId, createdAt: now, updatedAt: now };
      await records.repositories.insert(repositoryId, repository);
      const stored = await records.repositories.read(repositoryId);
      return {
        status: 201,
        body: repository,
        location: `/api/v1/repositories/${repositoryId}`,
        ...(stored === undefined ? {} : { version: stored.version }),
      };
    },
  },
  {
    name: "list-repositories",
    method: "GET",
    route: "v1/repositories",
    async handle({ context }) {
      const value: Repository[] = [];
      for await (const repository of context.records.repositories.list())
        value.push(repository.value);
      return { status: 200, body: { value } };
    },
  },
  {
    name: "get-repository",
    method: "GET",
    route: "v1/repositories/{repositoryId}",
    async handle(call) {
      const repositoryId = call.param("repositoryId");
      const found = await call.context.records.repositories.read(repositoryId);
      if (found === undefined) throw notFound("Repository", repositoryId);
      return { status: 200, body: found.value, version: found.version };
    },
  },
  {
    name: "replace-repository",
    method: "PUT",
    route: "v1/repositories/{repositoryId}",
    async handle(call) {
      const { records, clock } = call.context;
      const input = await call.body(repositoryInputSchema);
      const before = await findRepository(call);
      const { repositoryId, createdAt } = before.value;
      checkSecret(call.context, input);
      await checkPlace(call.context, input, repositoryId);
      const moved =
        placeOf(input) !== placeOf(before.value) ||
        input.encryption.kind !== before.value.encryption.kind;
      if (moved && (await hasPoints(call.context, repositoryId)))
        throw new Problem(
          409,
          "RepositoryInUse",
          "There are restore points in it: its place and its encryption cannot change.",
        );
      const { immutability } = before.value;
      if (
        isWeaker(input.immutability, immutability) &&
        (await hasPoints(call.context, repositoryId))
      )
        throw new Problem(
          409,
          "RepositoryInUse",
          "There are restore points in it: its immutability cannot be switched off or shortened.",
        );
      const repository = {
        ...input,
        repositoryId,
        createdAt,
        updatedAt: clock().toISOString(),
      };
      const options = { ifVersion: before.version };
      const written = await records.repositories.put(repositoryId, repository, options);
      const stored = await records.repositories.read(repositoryId);
      if (written === "changed" || stored === undefined) throw changed("Repository");
      return { status: 200, body: repository, version: stored.version };
    },
  },
  {
    name: "delete-repository",
    method: "DELETE",
    route: "v1/repositories/{repositoryId}",
    async handle(call) {
      const { value } = await findRepository(call);
      await checkUnused(call.context, value.repositoryId);
      await call.context.records.repositories.delete(value.repositoryId);
      return { status: 204 };
    },
  },
];
