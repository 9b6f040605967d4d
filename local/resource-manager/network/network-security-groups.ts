import { ArmError } from "../arm-error.ts";
import {
  objectAt,
  objectsAt,
  referenceAt,
  stringAt,
  type JsonObject,
  type JsonValue,
} from "../json.ts";
import type { Resource, ResourceStore, ResourceType } from "../provider.ts";
import { sameId } from "../resource-id.ts";
import { acceptedDelete, acceptedWrite, networkVersions, settleWork } from "./references.ts";
import { interfaceType } from "./subnet-addresses.ts";

/** https://learn.microsoft.com/azure/virtual-network/network-security-groups-overview */
const priorities = { lowest: 100, highest: 4096 };

/** Security groups keep their rules in their own body. */
export const networkSecurityGroups: ResourceType = {
  type: "networkSecurityGroups",
  apiVersions: networkVersions,
  tracked: true,
  etag: true,
  put: ({ id, body }) => {
    const properties = objectAt(body, "properties");
    const rules = objectsAt(properties, "securityRules");
    checkRules(rules);
    const securityRules = rules.map((rule) => withRuleEnvelope(id, rule));
    return acceptedWrite({ body: { ...body, properties: { ...properties, securityRules } } });
  },
  remove: ({ existing, resources }) => {
    const user = usersOf(resources, existing)[0];
    if (user !== undefined)
      throw new ArmError(
        400,
        "InUseNetworkSecurityGroupCannotBeDeleted",
        `Network security group ${existing.id} cannot be deleted because it is in use by the following resources: ${user.id}. In order to delete the Network security group, remove the association with the resource(s).`,
      );
    return acceptedDelete;
  },
  show: (resource, { resources }) => {
    const users = usersOf(resources, resource);
    const subnets = users.filter(({ type }) => type !== interfaceType).map(({ id }) => ({ id }));
    const interfaces = users.filter(({ type }) => type === interfaceType).map(({ id }) => ({ id }));
    const properties: Record<string, JsonValue> = { ...objectAt(resource.body, "properties") };
    if (subnets.length > 0) properties["subnets"] = subnets;
    if (interfaces.length > 0) properties["networkInterfaces"] = interfaces;
    return { ...resource.body, properties };
  },
  work: settleWork,
};

function usersOf(resources: ResourceStore, group: Resource): readonly Resource[] {
  return [
    ...resources.list("Microsoft.Network/virtualNetworks/subnets"),
    ...resources.list(interfaceType),
  ].filter(({ body }) => {
    const reference = referenceAt(objectAt(body, "properties"), "networkSecurityGroup");
    return reference !== undefined && sameId(reference, group.id);
  });
}

function withRuleEnvelope(groupId: string, rule: JsonObject): JsonObject {
  const name = stringAt(rule, "name") ?? "";
  return {
    ...rule,
    id: `${groupId}/securityRules/${name}`,
    type: "Microsoft.Network/networkSecurityGroups/securityRules",
    properties: { ...objectAt(rule, "properties"), provisioningState: "Succeeded" },
  };
}

function checkRules(rules: readonly JsonObject[]): void {
  const seen = new Map<string, string>();
  for (const rule of rules) {
    const name = stringAt(rule, "name") ?? "";
    const properties = objectAt(rule, "properties");
    for (const key of ["protocol", "access", "direction"])
      if (stringAt(properties, key) === undefined || name === "")
        throw new ArmError(
          400,
          "InvalidRequestFormat",
          `Required property '${key}' of security rule '${name}' is missing.`,
        );
    const priority = Number(properties["priority"]);
    if (
      !Number.isInteger(priority) ||
      priority < priorities.lowest ||
      priority > priorities.highest
    )
      throw new ArmError(
        400,
        "SecurityRuleInvalidPriority",
        `Security rule ${name} has invalid priority. Priority must be between ${priorities.lowest} and ${priorities.highest}.`,
      );
    const key = `${stringAt(properties, "direction") ?? ""}:${priority}`;
    const other = seen.get(key);
    if (other !== undefined)
      throw new ArmError(
        400,
        "SecurityRuleConflict",
        `Security rule ${other} conflicts with rule ${name}. Rules cannot have the same Priority and Direction.`,
      );
    seen.set(key, name);
  }
}
