/**
 * Route tables keep their routes in their body. Nothing here follows them: packets go to endpoints or
 * nowhere. https://learn.microsoft.com/azure/virtual-network/virtual-networks-udr-overview
 */
import { ArmError } from "../arm-error.ts";
import { objectAt, objectsAt, stringAt } from "../json.ts";
import type { ResourceType } from "../provider.ts";
import { parsePrefix } from "./ipv4.ts";
import { acceptedDelete, acceptedWrite, networkVersions, settleWork } from "./references.ts";

const nextHops = ["Internet", "None", "VirtualAppliance", "VirtualNetworkGateway", "VnetLocal"];

export const routeTables: ResourceType = {
  type: "routeTables",
  apiVersions: networkVersions,
  tracked: true,
  etag: true,
  put: ({ id, body }) => {
    const properties = objectAt(body, "properties");
    const routes = objectsAt(properties, "routes").map((route) => {
      const name = stringAt(route, "name") ?? "";
      const own = objectAt(route, "properties");
      const isKnown = nextHops.includes(stringAt(own, "nextHopType") ?? "");
      const prefix = parsePrefix(stringAt(own, "addressPrefix") ?? "");
      if (name === "" || !isKnown || prefix?.aligned !== true)
        throw new ArmError(
          400,
          "InvalidRequestFormat",
          `Route '${name}' needs a name, an addressPrefix and a nextHopType of '${nextHops.join(",")}'.`,
        );
      const type = "Microsoft.Network/routeTables/routes";
      return {
        ...route,
        id: `${id}/routes/${name}`,
        type,
        properties: { ...own, provisioningState: "Succeeded" },
      };
    });
    return acceptedWrite({ body: { ...body, properties: { ...properties, routes } } });
  },
  remove: () => acceptedDelete,
  work: settleWork,
};
