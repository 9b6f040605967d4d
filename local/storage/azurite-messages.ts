import { z } from "zod";

/** What goes between the stack and its Azurite process. */
const accountSchema = z.object({
  name: z.string(),
  /** Base64. */
  key: z.string(),
  protection: z
    .object({
      versioning: z.boolean(),
      immutableStorage: z.boolean(),
      immutableContainers: z.array(z.string()),
    })
    .default({ versioning: false, immutableStorage: false, immutableContainers: [] }),
});
/** Also the form in which accounts are kept. */
export const accountsSchema = z.array(accountSchema);
export type Account = z.infer<typeof accountSchema>;

/** Ways to accounts; an account that is not named here is open to all. */
const networkSchema = z.object({
  accounts: z.array(
    z.object({
      name: z.string(),
      publicAccess: z.boolean(),
      sharedKeys: z.boolean(),
      /** Services with an approved private endpoint. */
      endpointServices: z.array(z.string()),
    }),
  ),
  /** Loopback address that requests through an endpoint come from, and where it leads. */
  endpoints: z.array(z.object({ address: z.string(), account: z.string(), service: z.string() })),
  internetAddress: z.string(),
});
export type NetworkSettings = z.infer<typeof networkSchema>;

export const openNetwork: NetworkSettings = { accounts: [], endpoints: [], internetAddress: "" };

const patternsSchema = z.array(z.string());
/** Who may do what in which account; ids of scopes and principals in lower case. */
const accessSchema = z.object({
  accounts: z.array(z.object({ name: z.string(), id: z.string() })),
  assignments: z.array(
    z.object({
      principalId: z.string(),
      scope: z.string(),
      permissions: z.array(
        z.object({
          actions: patternsSchema,
          notActions: patternsSchema,
          dataActions: patternsSchema,
          notDataActions: patternsSchema,
        }),
      ),
    }),
  ),
});
export type AccessSettings = z.infer<typeof accessSchema>;

export const azuriteSettingsSchema = z.object({
  network: networkSchema,
  /** Absent: whoever has a token may do all. */
  access: accessSchema.optional(),
  accounts: accountsSchema,
  /** How far the local Azure's clock is ahead of the machine's. */
  clockAheadMs: z.number().int(),
  rehydrationSeconds: z.object({ standard: z.number(), high: z.number() }),
});
export type AzuriteSettings = z.infer<typeof azuriteSettingsSchema>;

export const azuriteOrderSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("settings"),
    revision: z.number().int(),
    settings: azuriteSettingsSchema,
  }),
  z.object({
    kind: z.literal("busy"),
    revision: z.number().int(),
    account: z.string(),
    requestCount: z.number().int(),
  }),
]);
export type AzuriteOrder = z.infer<typeof azuriteOrderSchema>;

export const azuriteReportSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("ready") }),
  z.object({ kind: z.literal("taken"), revision: z.number().int() }),
]);
export type AzuriteReport = z.infer<typeof azuriteReportSchema>;
