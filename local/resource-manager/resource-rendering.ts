import { typeOfResource, type Core } from "./core.ts";
import { objectAt, type JsonObject } from "./json.ts";
import { connectionsOf } from "./private-link.ts";
import type { Resource } from "./provider.ts";
import { parseResourceId } from "./resource-id.ts";

/** A resource as GET and lists show it. */
export function renderResource(core: Core, resource: Resource, expand?: string): JsonObject {
  const parsed = parseResourceId(resource.id);
  const type = parsed === undefined ? undefined : typeOfResource(core, parsed);
  const shown = type?.definition.show?.(resource, core.context, expand) ?? resource.body;
  const body =
    type?.definition.privateLink === undefined ? shown : withConnections(core, resource, shown);
  return {
    id: resource.id,
    name: resource.name,
    type: resource.type,
    ...(type?.definition.etag === true ? { etag: resource.etag } : {}),
    ...body,
  };
}

function withConnections(core: Core, resource: Resource, body: JsonObject): JsonObject {
  const privateEndpointConnections = connectionsOf(resource, core.resources);
  return { ...body, properties: { ...objectAt(body, "properties"), privateEndpointConnections } };
}

/** `body` with `properties.provisioningState`. */
export function withProvisioningState(body: JsonObject, state: string): JsonObject {
  return { ...body, properties: { ...objectAt(body, "properties"), provisioningState: state } };
}
