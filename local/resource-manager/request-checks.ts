import { ArmError } from "./arm-error.ts";
import { groupIdOf, type Call, type Core, type RegisteredType } from "./core.ts";
import { isJsonObject, stringAt, type JsonObject } from "./json.ts";
import type { Resource } from "./provider.ts";
import type { ResourceId } from "./resource-id.ts";

const defaultNamePattern = /^[\w.()-]{0,79}[\w()-]$/;

/** Throws 400 for an api-version that the type does not speak. */
export function checkApiVersion(core: Core, type: RegisteredType, apiVersion: string): void {
  const versions = type.definition.apiVersions;
  if (versions.includes(apiVersion)) return;
  throw new ArmError(
    400,
    "NoRegisteredProviderFound",
    `No registered resource provider found for location '' and API version '${apiVersion}' for type '${type.definition.type}'. The supported api-versions are '${versions.join(", ")}'. The supported locations are '${core.context.locations.join(", ")}'.`,
  );
}

/** Throws 404 when the group does not exist, 409 while it is being deleted and this is a write. */
export function checkGroup(core: Core, id: ResourceId, isWrite: boolean): void {
  if (id.resourceGroup === undefined) return;
  const group = core.resources.get(groupIdOf(id));
  if (group === undefined) throw groupNotFound(id.resourceGroup);
  if (isWrite && core.operations.runningOn(group.id) !== undefined)
    throw new ArmError(
      409,
      "ResourceGroupBeingDeleted",
      `The resource group '${id.resourceGroup}' is in deprovisioning state and cannot perform this operation.`,
    );
}

export function groupNotFound(group: string): ArmError {
  return new ArmError(
    404,
    "ResourceGroupNotFound",
    `Resource group '${group}' could not be found.`,
  );
}

export function notFound(id: ResourceId): ArmError {
  const path = id.types.map((type, index) => `${type}/${id.names[index] ?? ""}`).join("/");
  return new ArmError(
    404,
    "ResourceNotFound",
    `The Resource '${id.namespace}/${path}' under resource group '${id.resourceGroup ?? "<null>"}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix`,
  );
}

/** The request's body as an object. Throws 400. */
export function bodyObject(call: Call): JsonObject {
  const { body } = call.request;
  if (isJsonObject(body)) return body;
  throw new ArmError(
    400,
    "InvalidRequestContent",
    "The request content was invalid and could not be deserialized: 'the body must be a JSON object'.",
  );
}

export function checkName(type: RegisteredType, name: string): void {
  const pattern = type.definition.namePattern ?? defaultNamePattern;
  if (pattern.test(name)) return;
  throw new ArmError(
    400,
    "InvalidResourceName",
    `Resource name ${name} is invalid. The name must match '${pattern.source}' for type '${type.fullType}'.`,
  );
}

/** `West Europe` and `westeurope` are one location. */
export function normaliseLocation(location: string): string {
  return location.replaceAll(" ", "").toLowerCase();
}

/** The body of a PUT with its location and tags checked. Throws 400 and 409. */
export function checkTrackedBody(
  core: Core,
  type: RegisteredType,
  put: { body: JsonObject; existing: Resource | undefined; id: ResourceId },
): JsonObject {
  const { body, existing, id } = put;
  checkTags(body);
  if (!type.definition.tracked) {
    const { location: _, ...rest } = body;
    return rest;
  }
  const given = stringAt(body, "location");
  if (given === undefined || given === "")
    throw new ArmError(
      400,
      "LocationRequired",
      "The location property is required for this definition.",
    );
  const location = normaliseLocation(given);
  if (location !== "global" && !core.context.locations.includes(location))
    throw new ArmError(
      400,
      "LocationNotAvailableForResourceType",
      `The provided location '${given}' is not available for resource type '${type.fullType}'. List of available regions for the resource type is '${core.context.locations.join(",")}'.`,
    );
  const before = existing === undefined ? undefined : stringAt(existing.body, "location");
  if (existing !== undefined && before !== undefined && before !== location)
    throw new ArmError(
      409,
      "InvalidResourceLocation",
      `The resource '${existing.name}' already exists in location '${before}' in resource group '${id.resourceGroup ?? ""}'. A resource with the same name cannot be created in location '${location}'. Please select a new resource name.`,
    );
  return { ...body, location };
}

/** Tags are strings. Throws 400. */
export function checkTags(body: JsonObject): void {
  const tags = body["tags"];
  if (tags === undefined || tags === null) return;
  const bad = !isJsonObject(tags) || Object.values(tags).some((value) => typeof value !== "string");
  if (bad)
    throw new ArmError(
      400,
      "InvalidRequestContent",
      "The request content was invalid and could not be deserialized: 'tags must be an object of strings'.",
      { target: "tags" },
    );
}

/** If-Match and If-None-Match. Throws 412. */
export function checkPreconditions(call: Call, existing: Resource | undefined): void {
  const ifMatch = call.request.headers["if-match"];
  const ifNoneMatch = call.request.headers["if-none-match"];
  const matches =
    ifMatch === undefined ||
    (existing !== undefined && (ifMatch === "*" || ifMatch === existing.etag));
  const differs =
    ifNoneMatch === undefined ||
    existing === undefined ||
    (ifNoneMatch !== "*" && ifNoneMatch !== existing.etag);
  if (matches && differs) return;
  throw new ArmError(
    412,
    "PreconditionFailed",
    `Precondition failed. Etag provided in if-match header ${ifMatch ?? ifNoneMatch ?? ""} does not match etag ${existing?.etag ?? "(none)"} of resource ${call.request.path} in NRP data store.`,
  );
}
