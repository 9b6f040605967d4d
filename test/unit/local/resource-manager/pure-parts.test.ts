import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  grantsAction,
  permissionSchema,
} from "#local/resource-manager/authorization/role-definitions.ts";
import { mergePatch } from "#local/resource-manager/json.ts";
import {
  containsRange,
  formatAddress,
  overlaps,
  parseAddress,
  parsePrefix,
} from "#local/resource-manager/network/ipv4.ts";
import {
  formatResourceId,
  fullTypeOf,
  parentIdOf,
  parseResourceId,
  sameId,
} from "#local/resource-manager/resource-id.ts";
import { parseRoute } from "#local/resource-manager/routing.ts";
import { azureGeneralLimits, Throttle } from "#local/resource-manager/throttling.ts";

describe("addresses", () => {
  test("an address survives formatting and parsing", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        (value) => parseAddress(formatAddress(value)) === value,
      ),
    );
  });

  test.each(["10.0.0", "10.0.0.256", "a.b.c.d", "10.0.0.0.0", ""])("%j is no address", (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  test("a prefix covers its size, and says when host bits are set", () => {
    expect(parsePrefix("10.1.2.0/24")).toEqual({
      aligned: true,
      range: { first: 0x0a010200, last: 0x0a0102ff, prefixLength: 24 },
    });
    expect(parsePrefix("10.1.2.3/24")?.aligned).toBe(false);
    expect(parsePrefix("10.1.2.0/33")).toBeUndefined();
  });

  test("two prefixes overlap exactly when one contains the other", () => {
    const prefix = fc
      .tuple(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.integer({ min: 1, max: 32 }))
      .map(
        ([value, length]) =>
          parsePrefix(`${formatAddress(value)}/${length}`)?.range ?? {
            first: 0,
            last: 0,
            prefixLength: 32,
          },
      );
    fc.assert(
      fc.property(
        prefix,
        prefix,
        (one, other) =>
          overlaps(one, other) === (containsRange(one, other) || containsRange(other, one)),
      ),
    );
  });
});

describe("resource ids", () => {
  const subnet =
    "/subscriptions/s/resourceGroups/G/providers/Microsoft.Network/virtualNetworks/v/subnets/a";

  test("an id is made of its parts", () => {
    const parsed = parseResourceId(subnet);
    expect(parsed).toEqual({
      subscriptionId: "s",
      resourceGroup: "G",
      namespace: "Microsoft.Network",
      types: ["virtualNetworks", "subnets"],
      names: ["v", "a"],
    });
    if (parsed === undefined) return;
    expect(formatResourceId(parsed)).toBe(subnet);
    expect(fullTypeOf(parsed)).toBe("Microsoft.Network/virtualNetworks/subnets");
    const parent = parentIdOf(parsed);
    expect(parent === undefined ? undefined : formatResourceId(parent)).toBe(
      subnet.slice(0, -"/subnets/a".length),
    );
    expect(sameId(subnet, subnet.toUpperCase())).toBe(true);
  });

  test.each(["", "/subscriptions/s", "/subscriptions/s/resourceGroups/g", `${subnet}/x`, "x"])(
    "%j is no resource id",
    (id) => {
      expect(parseResourceId(id)).toBeUndefined();
    },
  );
});

test.each([
  ["/subscriptions", { kind: "subscriptions" }],
  ["/subscriptions/s", { kind: "subscription", subscriptionId: "s" }],
  ["/subscriptions/s/resourcegroups", { kind: "groups", subscriptionId: "s" }],
  ["/subscriptions/s/resourceGroups/g", { kind: "group", subscriptionId: "s", group: "g" }],
  [
    "/subscriptions/s/resourceGroups/g/resources",
    { kind: "allResources", subscriptionId: "s", group: "g" },
  ],
  [
    "/subscriptions/s/providers/N/locations/l/operations/o",
    { kind: "operation", subscriptionId: "s", form: "status", operationId: "o" },
  ],
  [
    "/subscriptions/s/providers/N/locations/l/operationResults/o",
    { kind: "operation", subscriptionId: "s", form: "result", operationId: "o" },
  ],
  [
    "/subscriptions/s/providers/N/skus",
    { kind: "provider", subscriptionId: "s", namespace: "N", segments: ["skus"] },
  ],
  [
    "/subscriptions/s/resourceGroups/g/providers/N/t/n/providers/Microsoft.Authorization/roleAssignments/a",
    {
      kind: "extension",
      subscriptionId: "s",
      scope: "/subscriptions/s/resourceGroups/g/providers/N/t/n",
      type: "roleAssignments",
      name: "a",
    },
  ],
  [
    "/providers/Microsoft.Authorization/roleDefinitions",
    { kind: "extension", scope: "", type: "roleDefinitions" },
  ],
  ["/nonsense", undefined],
])("the path %s leads to its route", (path, route) => {
  expect(parseRoute(path)).toEqual(route);
});

describe("role permissions", () => {
  const grants = (actions: string[], notActions: string[], action: string) =>
    grantsAction([permissionSchema.parse({ actions, notActions })], action);
  test.each([
    [["*"], [], "Microsoft.Compute/disks/write", true],
    [["*/read"], [], "Microsoft.Compute/disks/read", true],
    [["*/read"], [], "Microsoft.Compute/disks/write", false],
    [["microsoft.compute/DISKS/*"], [], "Microsoft.Compute/disks/beginGetAccess/action", true],
    [["Microsoft.Compute/disks/read"], [], "Microsoft.Compute/disks/readMore", false],
    [
      ["Microsoft.Compute/*"],
      ["Microsoft.Compute/disks/delete"],
      "Microsoft.Compute/disks/delete",
      false,
    ],
    [[], [], "Microsoft.Compute/disks/read", false],
  ] as const)("%j without %j and %s: %s", (actions, notActions, action, expected) => {
    expect(grants([...actions], [...notActions], action)).toBe(expected);
  });

  test("what one permission denies, another may give", () => {
    const permissions = [{ actions: ["*"], notActions: ["a/b"] }, { actions: ["a/b"] }].map(
      (item) => permissionSchema.parse(item),
    );
    expect(grantsAction(permissions, "a/b")).toBe(true);
  });
});

test("a bucket empties at its capacity and fills with time", () => {
  let nowMs = 0;
  const throttle = new Throttle(() => new Date(nowMs), azureGeneralLimits);
  const use = [{ key: "vm-writes:vm1", capacity: 12, refillPerMinute: 4 }];
  for (let count = 0; count < 12; count++) throttle.take(use);
  expect(() => throttle.take(use)).toThrow(
    expect.objectContaining({
      status: 429,
      code: "TooManyRequests",
      options: { headers: { "retry-after": "15" } },
    }),
  );
  nowMs = 15_000;
  throttle.take(use);
  expect(() => throttle.take(use)).toThrow(expect.objectContaining({ status: 429 }));
});

test("the general writes of one principal are limited, those of another are not", () => {
  const throttle = new Throttle(() => new Date(0), azureGeneralLimits);
  const one = { subscriptionId: "s", principalId: "p" };
  for (let count = 0; count < azureGeneralLimits.writes.capacity; count++)
    throttle.takeGeneral("PUT", one);
  expect(() => throttle.takeGeneral("PUT", one)).toThrow(
    expect.objectContaining({ status: 429, code: "SubscriptionRequestsThrottled" }),
  );
  expect(throttle.takeGeneral("PUT", { ...one, principalId: "q" })).toEqual({
    "x-ms-ratelimit-remaining-subscription-writes": "199",
  });
});

test("a merge patch merges objects, replaces the rest and removes on null", () => {
  expect(mergePatch({ a: { b: 1, c: 2 }, d: [1], e: 1 }, { a: { c: 3 }, d: [2], e: null })).toEqual(
    { a: { b: 1, c: 3 }, d: [2] },
  );
});
