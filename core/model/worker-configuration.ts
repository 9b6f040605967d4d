import { z } from "zod";
import { isArmSize, isUbuntuImage, NOT_UBUNTU } from "./worker-image.ts";

/**
 * Worker configuration: what workers of one region are. The operator writes it; a region without one
 * has the automatic configuration, which is made of the app's settings whenever it is needed, so that
 * a new setting takes effect at once. It is read when a worker is launched: one that exists stays as
 * it is.
 */
export const WORKER_PROFILES = ["small", "medium", "large", "archive"] as const;
export type WorkerProfile = (typeof WORKER_PROFILES)[number];

const vmSize = z
  .string()
  .regex(/^[A-Za-z]+_[A-Za-z0-9_-]{1,60}$/, "is no VM size")
  .refine((name) => !isArmSize(name), { error: "has Arm processors; workers are x64" });
/** In the order of preference: the next one is taken where Azure has no room for the one before. */
const sizes = z.array(vmSize).min(1).max(8);

/** Azure allows 50 tags on a resource; the product needs some of its own. */
const TAGS_MAX = 40;
const tagName = z.string().regex(/^[^<>%&\\?/]{1,512}$/, "holds a character that tags must not");

export const workerImageSchema = z.discriminatedUnion("kind", [
  /** A floating version would make workers differ from day to day. */
  z.strictObject({
    kind: z.literal("marketplace"),
    urn: z.string().regex(/^[^:]+:[^:]+:[^:]+:\d+\.\d+\.\d+$/, "is no URN with an exact version"),
  }),
  z.strictObject({
    kind: z.literal("gallery"),
    imageId: z
      .string()
      .regex(
        /^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+\/providers\/Microsoft\.Compute\/galleries\/[^/]+\/images\/[^/]+\/versions\/\d+\.\d+\.\d+$/i,
        "is no id of a version of a gallery image",
      ),
  }),
]);
export type WorkerImage = z.infer<typeof workerImageSchema>;

/** Evictions of one job after which it gets regular workers only. */
export const SPOT_EVICTIONS_MAX = 3;
const SECONDS_PER_DAY = 86_400;
const WORKERS_MAX = 100;

/** What an operator sends. */
export const workerConfigurationInputSchema = z
  .strictObject({
    sizes: z.strictObject({ small: sizes, medium: sizes, large: sizes, archive: sizes }),
    /** Workers that stay when they are idle, once they were launched. */
    minimum: z.number().int().min(0).max(WORKERS_MAX).default(0),
    maximum: z.number().int().min(1).max(WORKERS_MAX),
    purchase: z
      .discriminatedUnion("kind", [
        z.strictObject({ kind: z.literal("regular") }),
        z.strictObject({
          kind: z.literal("spot"),
          evictionsMax: z.number().int().min(0).max(5).default(SPOT_EVICTIONS_MAX),
        }),
      ])
      .default({ kind: "regular" }),
    image: workerImageSchema.refine(
      (image) => image.kind === "gallery" || isUbuntuImage(image.urn),
      { path: ["urn"], error: NOT_UBUNTU },
    ),
    /** `ephemeral` where the size has room for it, else managed. */
    osDisk: z.enum(["ephemeral", "managed"]).default("ephemeral"),
    diskEncryptionSetId: z
      .string()
      .regex(
        /^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+\/providers\/Microsoft\.Compute\/diskEncryptionSets\/[^/]+$/i,
        "is no id of a disk encryption set",
      )
      .optional(),
    resourceGroupId: z
      .string()
      .regex(/^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+$/i, "is no id of a resource group"),
    /** Values may name `{region}`, `{session}`, `{policy}`, `{worker}` and `{profile}`. */
    tags: z
      .record(tagName, z.string().max(256))
      .refine((all) => Object.keys(all).length <= TAGS_MAX, `has more than ${TAGS_MAX} tags`)
      .default({}),
    idle: z.strictObject({
      action: z.enum(["delete", "deallocate"]),
      afterSeconds: z.number().int().min(0).max(SECONDS_PER_DAY),
    }),
    securityUpdates: z
      .discriminatedUnion("kind", [
        z.strictObject({ kind: z.literal("off") }),
        /** Mirror of the archive of Ubuntu that workers reach, e.g. `http://mirror.example/ubuntu`. */
        z.strictObject({
          kind: z.literal("mirror"),
          url: z
            .string()
            .max(200)
            .regex(/^https?:\/\/[A-Za-z0-9.-]+(:\d+)?(\/[A-Za-z0-9._~-]+)*$/, "is no plain URL"),
        }),
      ])
      .default({ kind: "off" }),
  })
  .refine(({ minimum, maximum }) => minimum <= maximum, {
    path: ["minimum"],
    error: "is above the maximum",
  })
  // What an ephemeral disk holds is lost when its VM is deallocated; Azure refuses it.
  .refine(({ idle, osDisk }) => idle.action === "delete" || osDisk === "managed", {
    path: ["idle", "action"],
    error: "can only be `deallocate` with a managed OS disk",
  });

export const workerConfigurationSchema = workerConfigurationInputSchema.safeExtend({
  location: z.string(),
  origin: z.enum(["automatic", "operator"]),
  updatedAt: z.iso.datetime().optional(),
});
export type WorkerConfiguration = z.infer<typeof workerConfigurationSchema>;
