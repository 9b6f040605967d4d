import type { RegionActionBody } from "../model/region-action.ts";
import { lastNameOf, networkIdOf } from "./region-plan.ts";

/** Azure's codes for a right that is missing. */
export const REFUSAL_CODES: ReadonlySet<string> = new Set([
  "AuthorizationFailed",
  "LinkedAuthorizationFailed",
]);

/** What somebody has to allow, after Azure refused an action to the control plane's identity. */
export function explainRefusal(action: RegionActionBody): string {
  const give = (role: string, where: string): string =>
    `give the control plane's identity the role '${role}' on ${where}`;
  switch (action.kind) {
    case "create-peering":
    case "delete-peering": {
      const network = action.resourceId.replace(/\/virtualNetworkPeerings\/[^/]+$/i, "");
      const remote = action.kind === "create-peering" ? ` and on ${action.remoteNetworkId}` : "";
      const other =
        action.kind === "create-peering"
          ? `, or make the peering of ${lastNameOf(network)} to ${lastNameOf(action.remoteNetworkId)} yourself, in both directions`
          : "";
      return `The networks may not be peered: ${give("Holdfast hub", network)}${remote}${other}.`;
    }
    case "create-zone":
    case "link-zone":
    case "create-zone-group":
      return `The private DNS zones may not be changed: ${give("Holdfast private DNS", "their resource group")}, or set HOLDFAST_PRIVATE_DNS to verify and have their owner do it: ${action.resourceId}.`;
    case "create-private-endpoint":
      return `No private endpoint may be made in ${networkIdOf(action.subnetId)}: ${give("Holdfast hub", "that network")}.`;
    case "delete-private-endpoint":
    case "create-security-group":
    case "create-network":
    case "create-subnet":
    case "create-staging-account":
    case "secure-staging-account":
    case "write-lifecycle-rule":
      return `${action.resourceId} may not be made or changed: ${give("Holdfast workers", "the workers' resource group")}.`;
  }
}
