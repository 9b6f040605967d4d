import { z } from "zod";
import { HoldfastError } from "#core/lib/errors.ts";
import { isUbuntuImage, NOT_UBUNTU } from "#core/model/worker-image.ts";
import type { RunSettings } from "#core/model/run-settings.ts";

/**
 * Configuration: the app settings, read once at start-up and refused with the name of each setting
 * that is wrong. Secrets are named, never shown.
 */
const seconds = (fallback: number): z.ZodType<number> =>
  z.coerce.number().positive().max(604_800).default(fallback);
const https = z.url({ protocol: /^https$/, error: "is no https address" });
const resourceGroupId = z
  .string()
  .regex(/^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+$/i, "is no id of a resource group");
const networkId = z.string().regex(/\/virtualNetworks\/[^/]+$/i, "is no id of a virtual network");
const subnetId = z
  .string()
  .regex(/\/virtualNetworks\/[^/]+\/subnets\/[^/]+$/i, "is no id of a subnet");
const accountId = z.string().regex(/\/storageAccounts\/[^/]+$/i, "is no id of a storage account");
const masterKey = z
  .string()
  .transform((text) => new Uint8Array(Buffer.from(text, "base64")))
  .refine((bytes) => bytes.length === 32, "is not the base64 of 32 bytes");
const list = z
  .string()
  .transform((text) => text.split(",").flatMap((each) => each.trim() || []))
  .refine((entries) => entries.length > 0, "names nothing");

const TIB = 1024 ** 4;
/** A part of a disk is at least 256 MiB. */
const SHARED_DISK_BYTES_MIN = 512 * 1024 ** 2;

const settingsSchema = z.object({
  HOLDFAST_STORAGE__queueServiceUri: https,
  HOLDFAST_STORAGE__tableServiceUri: https,
  AZURE_CLIENT_ID: z.string().min(1).optional(),
  HOLDFAST_CONTROL_PLANE_ID: z.guid(),
  HOLDFAST_SUBSCRIPTION_IDS: list,
  HOLDFAST_WORKER_RESOURCE_GROUP_ID: resourceGroupId,
  HOLDFAST_CONTROL_NETWORK_ID: networkId,
  HOLDFAST_ENDPOINT_SUBNET_ID: subnetId,
  HOLDFAST_CONTROL_ACCOUNT_ID: accountId,
  HOLDFAST_PRIVATE_DNS_GROUP_ID: resourceGroupId,
  HOLDFAST_PRIVATE_DNS: z.enum(["manage", "verify"]).default("manage"),
  HOLDFAST_REGION_SECONDS: seconds(1800),
  HOLDFAST_WORKER_IDENTITY_ID: z.string().startsWith("/subscriptions/"),
  HOLDFAST_WORKER_CLIENT_ID: z.string().min(1),
  HOLDFAST_WORKER_VM_SIZE: z.string().min(1).default("Standard_F4s_v2"),
  HOLDFAST_WORKER_IMAGE_URN: z
    .string()
    .regex(/^[^:]+:[^:]+:[^:]+:\d+\.\d+\.\d+$/, "is no image URN with an exact version")
    .refine(isUbuntuImage, { error: NOT_UBUNTU }),
  HOLDFAST_WORKERS_PER_REGION_MAX: z.coerce.number().int().min(1).max(100).default(5),
  HOLDFAST_WORKER_IDLE_SECONDS: z.coerce.number().int().min(0).max(86_400).default(600),
  HOLDFAST_HEARTBEAT_SECONDS: seconds(15),
  HOLDFAST_WORKER_LOST_SECONDS: seconds(90),
  HOLDFAST_JOB_DEADLINE_SECONDS: seconds(43_200),
  HOLDFAST_POLL_SECONDS: seconds(10),
  HOLDFAST_SAS_SECONDS: seconds(43_200),
  HOLDFAST_DISK_ACCESSES_MAX: z.coerce.number().int().min(1).max(100).default(30),
  HOLDFAST_DISK_ACCESS_GRACE_SECONDS: seconds(604_800),
  HOLDFAST_MAINTENANCE_MARGIN_SECONDS: z.coerce.number().int().positive().optional(),
  HOLDFAST_RETRIEVAL_LOOK_SECONDS: z.coerce.number().positive().max(604_800).optional(),
  HOLDFAST_SHARED_DISK_BYTES: z.coerce
    .number()
    .int()
    .min(SHARED_DISK_BYTES_MIN)
    .default(8 * TIB),
  HOLDFAST_UNCHANGED_SAMPLE_BLOCKS: z.coerce.number().int().min(0).max(4096).default(16),
  HOLDFAST_MASTER_KEY: masterKey,
  HOLDFAST_API_ISSUER: z.string().min(1),
  HOLDFAST_API_AUDIENCE: z.string().min(1),
  HOLDFAST_API_JWKS_URI: https,
  HOLDFAST_RESOURCE_MANAGER_URL: https.default("https://management.azure.com"),
  HOLDFAST_AGENT_BUNDLE: z.string().min(1).default("dist/worker-agent/holdfast-agent.tar.gz"),
});

export interface Config {
  readonly queueServiceUrl: string;
  readonly tableServiceUrl: string;
  readonly clientId: string | undefined;
  readonly controlPlaneId: string;
  readonly subscriptionIds: readonly string[];
  readonly resourceManagerUrl: string;
  readonly network: {
    /** The control plane's own network: the hub of all worker networks. */
    readonly hubNetworkId: string;
    readonly endpointSubnetId: string;
    readonly controlAccountId: string;
    /** Resource group of the private DNS zones. */
    readonly zoneGroupId: string;
    readonly privateDns: "manage" | "verify";
  };
  readonly worker: {
    readonly resourceGroupId: string;
    readonly identityResourceId: string;
    readonly clientId: string;
    /** These make the automatic configuration of workers (`core/workers/default-configuration.ts`). */
    readonly vmSize: string;
    readonly imageUrn: string;
    readonly perRegionMax: number;
    readonly idleSeconds: number;
    readonly heartbeatSeconds: number;
  };
  readonly run: RunSettings;
  readonly sasSeconds: number;
  readonly diskAccess: {
    /** In one region and subscription; each carries five exports at the same time. */
    readonly accessesMax: number;
    /** One that nothing needed for so long is removed. */
    readonly graceSeconds: number;
  };
  /**
   * How long maintenance lets be what may be in use, and waits between marking and deleting; missing:
   * twice the longest job. Less is for trials: a restore of a point that expires meanwhile may fail.
   */
  readonly maintenanceMarginSeconds: number | undefined;
  /** Between two looks at a retrieval; missing: as its priority suggests. */
  readonly retrievalLookSeconds: number | undefined;
  /** Disks of this size and more are read by several workers in a full backup. */
  readonly sharedDiskBytes: number;
  /** Blocks that CBT calls unchanged, read again and compared, per incremental disk. */
  readonly unchangedSampleCount: number;
  readonly masterKey: Uint8Array;
  /** Repository passwords by name, in the form of `secretKey`. */
  readonly secrets: ReadonlyMap<string, string>;
  readonly api: { readonly issuer: string; readonly audience: string; readonly jwksUrl: string };
  readonly agentBundlePath: string;
}

const SECRET_PREFIX = "HOLDFAST_SECRET_";

/** `backup-password` → `BACKUP_PASSWORD`: names of app settings hold no hyphens. */
export function secretKey(name: string): string {
  return name.toUpperCase().replaceAll("-", "_");
}

/** Throws `HoldfastError` code `InvalidConfiguration` that names every setting that is wrong. */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const parsed = settingsSchema.safeParse(env);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(
      (issue) =>
        `${issue.path.join(".")} ${env[String(issue.path[0])] === undefined ? "is missing" : issue.message}`,
    );
    throw new HoldfastError(
      "InvalidConfiguration",
      `The app settings are wrong: ${faults.join("; ")}. Correct them and restart the app.`,
    );
  }
  const set = parsed.data;
  if (set.HOLDFAST_WORKER_LOST_SECONDS <= set.HOLDFAST_HEARTBEAT_SECONDS)
    throw new HoldfastError(
      "InvalidConfiguration",
      "The app settings are wrong: HOLDFAST_WORKER_LOST_SECONDS must be above HOLDFAST_HEARTBEAT_SECONDS.",
    );
  return {
    queueServiceUrl: set.HOLDFAST_STORAGE__queueServiceUri,
    tableServiceUrl: set.HOLDFAST_STORAGE__tableServiceUri,
    clientId: set.AZURE_CLIENT_ID,
    controlPlaneId: set.HOLDFAST_CONTROL_PLANE_ID,
    subscriptionIds: set.HOLDFAST_SUBSCRIPTION_IDS,
    resourceManagerUrl: set.HOLDFAST_RESOURCE_MANAGER_URL,
    network: {
      hubNetworkId: set.HOLDFAST_CONTROL_NETWORK_ID,
      endpointSubnetId: set.HOLDFAST_ENDPOINT_SUBNET_ID,
      controlAccountId: set.HOLDFAST_CONTROL_ACCOUNT_ID,
      zoneGroupId: set.HOLDFAST_PRIVATE_DNS_GROUP_ID,
      privateDns: set.HOLDFAST_PRIVATE_DNS,
    },
    worker: {
      resourceGroupId: set.HOLDFAST_WORKER_RESOURCE_GROUP_ID,
      identityResourceId: set.HOLDFAST_WORKER_IDENTITY_ID,
      clientId: set.HOLDFAST_WORKER_CLIENT_ID,
      vmSize: set.HOLDFAST_WORKER_VM_SIZE,
      imageUrn: set.HOLDFAST_WORKER_IMAGE_URN,
      perRegionMax: set.HOLDFAST_WORKERS_PER_REGION_MAX,
      idleSeconds: set.HOLDFAST_WORKER_IDLE_SECONDS,
      heartbeatSeconds: set.HOLDFAST_HEARTBEAT_SECONDS,
    },
    run: {
      pollSeconds: set.HOLDFAST_POLL_SECONDS,
      regionSeconds: set.HOLDFAST_REGION_SECONDS,
      workerLostSeconds: set.HOLDFAST_WORKER_LOST_SECONDS,
      jobDeadlineSeconds: set.HOLDFAST_JOB_DEADLINE_SECONDS,
    },
    sasSeconds: set.HOLDFAST_SAS_SECONDS,
    diskAccess: {
      accessesMax: set.HOLDFAST_DISK_ACCESSES_MAX,
      graceSeconds: set.HOLDFAST_DISK_ACCESS_GRACE_SECONDS,
    },
    maintenanceMarginSeconds: set.HOLDFAST_MAINTENANCE_MARGIN_SECONDS,
    retrievalLookSeconds: set.HOLDFAST_RETRIEVAL_LOOK_SECONDS,
    sharedDiskBytes: set.HOLDFAST_SHARED_DISK_BYTES,
    unchangedSampleCount: set.HOLDFAST_UNCHANGED_SAMPLE_BLOCKS,
    masterKey: set.HOLDFAST_MASTER_KEY,
    secrets: secretsOf(env),
    api: {
      issuer: set.HOLDFAST_API_ISSUER,
      audience: set.HOLDFAST_API_AUDIENCE,
      jwksUrl: set.HOLDFAST_API_JWKS_URI,
    },
    agentBundlePath: set.HOLDFAST_AGENT_BUNDLE,
  };
}

function secretsOf(env: Readonly<Record<string, string | undefined>>): Map<string, string> {
  const secrets = new Map<string, string>();
  for (const [name, value] of Object.entries(env)) {
    if (name.startsWith(SECRET_PREFIX) && value !== undefined && value !== "")
      secrets.set(secretKey(name.slice(SECRET_PREFIX.length)), value);
  }
  return secrets;
}
