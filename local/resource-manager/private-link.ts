/**
 * Private link. A private endpoint asks its *target* for a connection; the connection is a resource
 * `<target>/privateEndpointConnections/<name>` of the target's provider, and the target shows all
 * of them in `properties.privateEndpointConnections`.
 */
import { ArmError } from "./arm-error.ts";
import { objectAt, stringAt, type JsonObject } from "./json.ts";
import type { Resource, ResourceStore, ResourceType } from "./provider.ts";
import { formatResourceId, idKey, parentIdOf } from "./resource-id.ts";

const decisions: readonly string[] = ["Approved", "Rejected", "Pending", "Disconnected"];

export interface PrivateConnection {
  readonly targetId: string;
  readonly endpointId: string;
  readonly status: "Approved" | "Pending";
  readonly requestMessage: string;
}

/** Connections of a target, in the form that the target shows. */
export function connectionsOf(target: Resource, resources: ResourceStore): readonly JsonObject[] {
  return resources
    .list(`${target.type}/privateEndpointConnections`, target.id)
    .map(({ id, name, type, body }) => ({ id, name, type, ...body }));
}

/** Stores the connection of an endpoint. One that exists stays as it was decided. */
export function connect(
  resources: ResourceStore,
  connection: PrivateConnection,
  newGuid: () => string,
): Resource {
  const existing = connectionOfEndpoint(resources, connection.targetId, connection.endpointId);
  if (existing !== undefined) return existing;
  const name = `${connection.endpointId.slice(connection.endpointId.lastIndexOf("/") + 1)}.${newGuid()}`;
  const id = `${connection.targetId}/privateEndpointConnections/${name}`;
  // Microsoft.Storage has its own name for it (Private Endpoint Connections - Get).
  const isStorage = connection.targetId.toLowerCase().includes("/microsoft.storage/");
  return resources.put(id, {
    body: {
      properties: {
        privateEndpoint: { id: connection.endpointId },
        privateLinkServiceConnectionState: {
          status: connection.status,
          description:
            connection.status === "Approved" ? "Auto-Approved" : connection.requestMessage,
          [isStorage ? "actionRequired" : "actionsRequired"]: "None",
        },
        provisioningState: "Succeeded",
      },
    },
  });
}

/** Removes the connection of an endpoint. No error when there is none. */
export function disconnect(resources: ResourceStore, targetId: string, endpointId: string): void {
  const existing = connectionOfEndpoint(resources, targetId, endpointId);
  if (existing !== undefined) resources.delete(existing.id);
}

export function connectionOfEndpoint(
  resources: ResourceStore,
  targetId: string,
  endpointId: string,
): Resource | undefined {
  const type = `${resources.get(targetId)?.type ?? ""}/privateEndpointConnections`;
  return resources.list(type, targetId).find(({ body }) => {
    const id = stringAt(objectAt(objectAt(body, "properties"), "privateEndpoint"), "id") ?? "";
    return idKey(id) === idKey(endpointId);
  });
}

/** Status of a connection resource: `Approved`, `Pending`, `Rejected` or `Disconnected`. */
export function connectionStatus(connection: Resource): string {
  const state = objectAt(
    objectAt(connection.body, "properties"),
    "privateLinkServiceConnectionState",
  );
  return stringAt(state, "status") ?? "Pending";
}

/** The type `<parent>/privateEndpointConnections`: approve or reject by PUT, remove by DELETE. */
export function privateEndpointConnectionType(
  parentType: string,
  apiVersions: readonly string[],
): ResourceType {
  return {
    type: `${parentType}/privateEndpointConnections`,
    apiVersions,
    tracked: false,
    put: ({ body, existing, parsedId }) => {
      // Connections begin with a private endpoint; a PUT can only decide on them.
      const parent = parentIdOf(parsedId);
      if (existing === undefined)
        throw new ArmError(
          404,
          "PrivateEndpointConnectionNotFound",
          `The private endpoint connection does not exist on '${parent === undefined ? "" : formatResourceId(parent)}'.`,
        );
      const state = objectAt(objectAt(body, "properties"), "privateLinkServiceConnectionState");
      const status = stringAt(state, "status") ?? "";
      if (!decisions.includes(status))
        throw new ArmError(
          400,
          "InvalidPrivateLinkServiceConnectionState",
          `The connection state '${status}' is invalid.`,
          { target: "properties.privateLinkServiceConnectionState.status" },
        );
      const properties = objectAt(existing.body, "properties");
      const before = objectAt(properties, "privateLinkServiceConnectionState");
      const next = { ...properties, privateLinkServiceConnectionState: { ...before, ...state } };
      return { kind: "stored", content: { body: { properties: next } } };
    },
    remove: () => ({ kind: "deleted" }),
  };
}
