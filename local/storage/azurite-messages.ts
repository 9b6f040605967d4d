import { z } from "zod";

/** What goes between the stack and its Azurite process. */
export const accountListSchema = z.object({
  kind: z.literal("accounts"),
  revision: z.number().int(),
  /** `key`: base64. */
  accounts: z.array(z.object({ name: z.string(), key: z.string() })),
});
export type AccountList = z.infer<typeof accountListSchema>;

export const azuriteReportSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("ready") }),
  z.object({ kind: z.literal("accounts-taken"), revision: z.number().int() }),
]);
export type AzuriteReport = z.infer<typeof azuriteReportSchema>;
