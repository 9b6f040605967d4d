import { z } from "zod";

/** A name of an Azure region as Resource Manager writes it, e.g. `westeurope`. */
export const regionNameSchema = z
  .string()
  .regex(/^[a-z0-9]{1,60}$/, "is no name of an Azure region, e.g. westeurope");

/** Region record: the private network of one location, since it was complete for the first time. */
export const regionRecordSchema = z.object({
  location: z.string(),
  addressPrefix: z.string(),
  subnetId: z.string(),
  /** Of the staging account. */
  stagingAccountId: z.string(),
  blobServiceUrl: z.string(),
  queueServiceUrl: z.string(),
  readyAt: z.iso.datetime(),
  /** When every part of it was last seen to be there. */
  verifiedAt: z.iso.datetime(),
});
export type RegionRecord = z.infer<typeof regionRecordSchema>;

/** What an operator wants of a region's network; the product chooses what is not said. */
export const regionSettingsSchema = z
  .strictObject({
    /** An existing subnet for workers and their endpoints; nothing of its network is changed but a peering. */
    subnetId: z
      .string()
      .regex(
        /^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+\/providers\/Microsoft\.Network\/virtualNetworks\/[^/]+\/subnets\/[^/]+$/i,
        "is no id of a subnet",
      )
      .optional(),
    /** Prefix of the network that is made. */
    addressPrefix: z
      .string()
      .regex(/^\d{1,3}(\.\d{1,3}){3}\/(1[6-9]|2[0-7])$/, "is no IPv4 prefix from /16 to /27")
      .optional(),
  })
  .refine((settings) => settings.subnetId === undefined || settings.addressPrefix === undefined, {
    message: "a subnet that exists has its prefix already",
    path: ["addressPrefix"],
  });
export type RegionSettings = z.infer<typeof regionSettingsSchema>;

/** Something that was made or changed for a region, and when last. */
export const regionChangeSchema = z.object({
  location: z.string(),
  kind: z.string(),
  resourceId: z.string(),
  reason: z.string(),
  at: z.iso.datetime(),
});
export type RegionChange = z.infer<typeof regionChangeSchema>;
