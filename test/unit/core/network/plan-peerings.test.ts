import { expect, test } from "vitest";
import type { PeeringState } from "#core/ports/region.ts";
import { planRegion } from "#core/network/plan-region.ts";
import { completeFacts, config } from "./region-facts.ts";

type State = PeeringState["state"] | "Missing";

/** Kind, direction and what it comes after, of each action, when the two peerings are like this. */
function actionsFor(states: { readonly ofHub: State; readonly ofWorkers: State }) {
  const facts = completeFacts();
  const withState = (network: typeof facts.hub, state: State) => {
    if (network === undefined) throw new Error("the facts have both networks");
    const peerings = network.peerings.flatMap((each) =>
      state === "Missing" ? [] : [{ ...each, state }],
    );
    return { ...network, peerings };
  };
  const hub = withState(facts.hub, states.ofHub);
  const workerNetwork = withState(facts.workerNetwork, states.ofWorkers);
  const side = (id: string) => (id.startsWith(hub.networkId) ? "of the hub" : "of the workers");
  return planRegion({ ...facts, hub, workerNetwork }, config).actions.map(({ action, after }) => [
    action.kind,
    side(action.resourceId),
    after.map(side),
  ]);
}

test.each([
  ["Connected", "Connected", []],
  [
    "Missing",
    "Disconnected",
    [
      ["delete-peering", "of the workers", []],
      ["create-peering", "of the hub", ["of the workers"]],
    ],
  ],
  [
    "Disconnected",
    "Missing",
    [
      ["delete-peering", "of the hub", []],
      ["create-peering", "of the workers", ["of the hub"]],
    ],
  ],
  [
    "Disconnected",
    "Disconnected",
    [
      ["delete-peering", "of the hub", []],
      ["delete-peering", "of the workers", []],
    ],
  ],
] as const)(
  "a hub's peering %s and a workers' peering %s: a disconnected one goes before the other is made",
  (ofHub, ofWorkers, actions) => {
    expect(actionsFor({ ofHub, ofWorkers })).toEqual(actions);
  },
);
