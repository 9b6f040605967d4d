import { z } from "zod";

/** What can be done for a region's private network: each makes or changes the resource that it names. */
const id = z.string().startsWith("/subscriptions/");
const made = z.object({ resourceId: id });

const securityRuleSchema = z.object({
  name: z.string(),
  priority: z.number().int(),
  direction: z.enum(["Inbound", "Outbound"]),
  access: z.enum(["Allow", "Deny"]),
  protocol: z.string(),
  sources: z.array(z.string()).readonly(),
  destinations: z.array(z.string()).readonly(),
  ports: z.array(z.string()).readonly(),
});

export const regionActionSchema = z.discriminatedUnion("kind", [
  made.extend({
    kind: z.literal("create-security-group"),
    rules: z.array(securityRuleSchema).readonly(),
  }),
  made.extend({
    kind: z.literal("create-network"),
    addressPrefix: z.string(),
    subnetName: z.string(),
    securityGroupId: id,
  }),
  made.extend({
    kind: z.literal("create-subnet"),
    networkId: id,
    addressPrefix: z.string(),
    subnetName: z.string(),
    securityGroupId: id,
  }),
  made.extend({ kind: z.literal("create-staging-account") }),
  made.extend({ kind: z.literal("secure-staging-account") }),
  made.extend({ kind: z.literal("write-lifecycle-rule"), accountId: id }),
  made.extend({
    kind: z.literal("create-private-endpoint"),
    location: z.string(),
    subnetId: id,
    targetId: id,
    service: z.enum(["blob", "queue", "disks"]),
  }),
  made.extend({ kind: z.literal("delete-private-endpoint") }),
  made.extend({ kind: z.literal("create-zone") }),
  made.extend({ kind: z.literal("link-zone"), networkId: id }),
  made.extend({ kind: z.literal("create-zone-group"), endpointId: id, zoneId: id }),
  made.extend({ kind: z.literal("create-peering"), remoteNetworkId: id }),
  made.extend({ kind: z.literal("delete-peering") }),
]);
export type RegionActionBody = z.infer<typeof regionActionSchema>;
