import type { JsonObject } from "../json.ts";

/** Regions of the simulated cloud, with the names that Azure shows. */
const displayNames: Readonly<Record<string, string>> = {
  westeurope: "West Europe",
  northeurope: "North Europe",
  germanywestcentral: "Germany West Central",
  francecentral: "France Central",
  uksouth: "UK South",
  swedencentral: "Sweden Central",
  eastus: "East US",
  eastus2: "East US 2",
  westus2: "West US 2",
  westus3: "West US 3",
  southeastasia: "Southeast Asia",
  australiaeast: "Australia East",
};

export const defaultLocations: readonly string[] = Object.keys(displayNames);

export function locationJson(subscriptionId: string, name: string): JsonObject {
  const displayName = displayNames[name] ?? name;
  return {
    id: `/subscriptions/${subscriptionId}/locations/${name}`,
    name,
    type: "Region",
    displayName,
    regionalDisplayName: displayName,
    metadata: { regionType: "Physical", regionCategory: "Recommended" },
  };
}
