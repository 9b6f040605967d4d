import { expect, test } from "vitest";
import type { NetworkSettings } from "#local/storage/azurite-messages.ts";
import { judgeRequest } from "#local/storage/front/network-gate.ts";

const internet = "127.65.0.1";
const ownBlob = "127.64.0.1";
const ownQueue = "127.64.0.2";
const otherBlob = "127.64.0.3";
const theMachine = "127.0.0.1";

/** Two accounts with endpoints and without public access, one without either, and one open to all. */
const network: NetworkSettings = {
  accounts: [
    { name: "own", publicAccess: false, sharedKeys: false, endpointServices: ["blob", "queue"] },
    { name: "other", publicAccess: false, sharedKeys: true, endpointServices: ["blob"] },
    { name: "closed", publicAccess: false, sharedKeys: true, endpointServices: [] },
    { name: "open", publicAccess: true, sharedKeys: true, endpointServices: [] },
  ],
  endpoints: [
    { address: ownBlob, account: "own", service: "blob" },
    { address: ownQueue, account: "own", service: "queue" },
    { address: otherBlob, account: "other", service: "blob" },
  ],
  internetAddress: internet,
};

test.each([
  ["own", "blob", ownBlob, false, "passes", "through its own endpoint"],
  ["own", "queue", ownQueue, false, "passes", "through its own endpoint"],
  ["own", "blob", internet, false, "AuthorizationFailure", "from the internet"],
  ["own", "blob", internet, true, "AuthorizationFailure", "from the internet with a key"],
  ["own", "blob", otherBlob, false, "AuthorizationFailure", "through another account's endpoint"],
  ["own", "blob", ownQueue, false, "AuthorizationFailure", "through its other service's endpoint"],
  ["open", "blob", otherBlob, false, "AuthorizationFailure", "through another account's endpoint"],
  ["own", "table", theMachine, false, "AuthorizationFailure", "where it has no endpoint"],
  ["closed", "blob", theMachine, false, "AuthorizationFailure", "where it has no endpoint at all"],
  ["own", "blob", ownBlob, true, "KeyBasedAuthenticationNotPermitted", "with a shared key"],
  ["other", "blob", otherBlob, true, "passes", "with a shared key that is allowed"],
  ["open", "blob", internet, false, "passes", "from the internet while public access is on"],
] as const)(
  "%s %s, asked at %s (shared key: %s): %s %s",
  (account, service, from, hasSharedKey, expected, _way) => {
    const refusal = judgeRequest(network, { account, service, from, hasSharedKey });
    expect(refusal?.code ?? "passes").toBe(expected);
    if (refusal !== undefined) expect(refusal.status).toBe(403);
  },
);
