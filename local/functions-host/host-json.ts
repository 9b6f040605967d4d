/**
 * host.json, as far as this host acts on it. The real host ignores unknown keys without a word;
 * here each one is reported, because a misspelt limit is a limit that does not exist.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { HoldfastError } from "#core/lib/errors.ts";
import { z } from "zod";
import { logLevels } from "./log.ts";
import { parseTimeSpanMs } from "./time-span.ts";

const timeSpanMs = z.string().transform((text, context) => {
  try {
    return parseTimeSpanMs(text);
  } catch {
    context.addIssue({ code: "custom", message: `"${text}" is not a time span like 00:05:00` });
    return z.NEVER;
  }
});
const positive = z.int().positive();
const level = z
  .string()
  .transform((text) => text.toLowerCase())
  .pipe(z.enum(logLevels));

/** Defaults: https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue#hostjson-settings */
const queuesSchema = z.strictObject({
  batchSize: positive.max(32).default(16),
  newBatchThreshold: z.int().nonnegative().optional(),
  maxDequeueCount: positive.default(5),
  visibilityTimeout: timeSpanMs.default(0),
  maxPollingInterval: timeSpanMs.default(60_000),
  messageEncoding: z.enum(["base64", "none"]).default("base64"),
});

const storageProviderSchema = z.strictObject({
  type: z.literal("AzureStorage").default("AzureStorage"),
  connectionName: z.string().optional(),
  connectionStringName: z.string().optional(),
  /** Accepted and not used: one process owns the whole hub here. */
  partitionCount: positive.max(16).default(4),
  maxQueuePollingInterval: timeSpanMs.optional(),
  controlQueueVisibilityTimeout: timeSpanMs.default(300_000),
  workItemQueueVisibilityTimeout: timeSpanMs.default(300_000),
});

/** Defaults of one instance: https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-bindings#host-json */
const durableTaskSchema = z.strictObject({
  hubName: z.string().default("TestHubName"),
  maxConcurrentActivityFunctions: positive.default(10),
  maxConcurrentOrchestratorFunctions: positive.default(10),
  storageProvider: storageProviderSchema.prefault({}),
});

const hostJsonSchema = z.strictObject({
  version: z.literal("2.0"),
  extensionBundle: z.looseObject({ id: z.string(), version: z.string() }).optional(),
  functionTimeout: z.union([z.literal("-1"), timeSpanMs]).optional(),
  logging: z.looseObject({ logLevel: z.record(z.string(), level).default({}) }).prefault({}),
  extensions: z
    .strictObject({
      http: z.strictObject({ routePrefix: z.string().default("api") }).prefault({}),
      queues: queuesSchema.prefault({}),
      durableTask: durableTaskSchema.prefault({}),
    })
    .prefault({}),
});

export type HostJson = z.infer<typeof hostJsonSchema>;
export type QueueOptions = HostJson["extensions"]["queues"];

/** The default of the Flex and Premium plans. */
const defaultFunctionTimeoutMs = 30 * 60_000;

/** undefined = unbounded. */
export function functionTimeoutMsOf(hostJson: HostJson): number | undefined {
  const { functionTimeout = defaultFunctionTimeoutMs } = hostJson;
  return functionTimeout === "-1" ? undefined : functionTimeout;
}

export interface ParsedHostJson {
  readonly hostJson: HostJson;
  /** Paths of keys that this host does not know; they have no effect. */
  readonly unknownKeys: readonly string[];
}

/** @throws HoldfastError `InvalidHostJson` naming each wrong value */
export function parseHostJson(text: string): ParsedHostJson {
  const value: unknown = JSON.parse(text);
  const unknownKeys: string[] = [];
  let parsed = hostJsonSchema.safeParse(value);
  while (!parsed.success) {
    const { issues } = parsed.error;
    const wrong = issues.filter((issue) => issue.code !== "unrecognized_keys");
    if (wrong.length > 0) {
      const list = wrong.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ");
      throw new HoldfastError("InvalidHostJson", `host.json is not valid: ${list}.`);
    }
    for (const issue of issues) {
      if (issue.code !== "unrecognized_keys") continue;
      for (const key of issue.keys) {
        unknownKeys.push([...issue.path, key].join("."));
        removeKey(value, issue.path, key);
      }
    }
    parsed = hostJsonSchema.safeParse(value);
  }
  return { hostJson: parsed.data, unknownKeys };
}

function removeKey(value: unknown, path: readonly PropertyKey[], key: string): void {
  let parent: unknown = value;
  for (const part of path) {
    if (typeof parent === "object" && parent !== null) parent = Reflect.get(parent, part);
  }
  if (typeof parent === "object" && parent !== null) Reflect.deleteProperty(parent, key);
}

export async function readHostJson(appDirectory: string): Promise<ParsedHostJson> {
  return parseHostJson(await readFile(join(appDirectory, "host.json"), "utf8"));
}
