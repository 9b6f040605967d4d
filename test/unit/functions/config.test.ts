import { describe, expect, it } from "vitest";
import { loadConfig } from "#functions/config.ts";
import { TEST_SETTINGS } from "./test-world.ts";

const messageOf = (settings: Record<string, string | undefined>): string => {
  try {
    loadConfig({ ...TEST_SETTINGS, ...settings });
    return "";
  } catch (error) {
    expect(error).toMatchObject({ code: "InvalidConfiguration" });
    return String(error);
  }
};

describe("configuration", () => {
  it("has defaults for what may be left out", () => {
    const config = loadConfig(TEST_SETTINGS);
    expect(config.resourceManagerUrl).toBe("https://management.azure.com");
    expect(config.run).toEqual({
      pollSeconds: 10,
      workerLostSeconds: 90,
      jobDeadlineSeconds: 43_200,
      regionSeconds: 1800,
    });
    expect(config.worker).toMatchObject({
      vmSize: "Standard_F4s_v2",
      perRegionMax: 5,
      idleSeconds: 600,
    });
    expect(config.unchangedSampleCount).toBe(16);
    expect(config.secrets.get("BACKUP_PASSWORD")).toBe("correct horse battery staple");
    expect(config.masterKey).toHaveLength(32);
  });

  it.each<[string, Record<string, string | undefined>]>([
    ["HOLDFAST_MASTER_KEY", { HOLDFAST_MASTER_KEY: "c2hvcnQ=" }],
    ["HOLDFAST_MASTER_KEY is missing", { HOLDFAST_MASTER_KEY: undefined }],
    ["HOLDFAST_CONTROL_PLANE_ID", { HOLDFAST_CONTROL_PLANE_ID: "me" }],
    ["HOLDFAST_SUBSCRIPTION_IDS", { HOLDFAST_SUBSCRIPTION_IDS: " , " }],
    ["HOLDFAST_STORAGE__tableServiceUri", { HOLDFAST_STORAGE__tableServiceUri: "http://x" }],
    ["HOLDFAST_WORKER_RESOURCE_GROUP_ID", { HOLDFAST_WORKER_RESOURCE_GROUP_ID: "workers" }],
    ["HOLDFAST_WORKER_IMAGE_URN", { HOLDFAST_WORKER_IMAGE_URN: "ubuntu" }],
    [
      "HOLDFAST_WORKER_IMAGE_URN is none of Ubuntu 22.04 or 24.04 LTS",
      { HOLDFAST_WORKER_IMAGE_URN: "Debian:debian-12:12-gen2:0.20261101.1" },
    ],
    ["HOLDFAST_POLL_SECONDS", { HOLDFAST_POLL_SECONDS: "soon" }],
    ["HOLDFAST_WORKERS_PER_REGION_MAX", { HOLDFAST_WORKERS_PER_REGION_MAX: "0" }],
    ["HOLDFAST_UNCHANGED_SAMPLE_BLOCKS", { HOLDFAST_UNCHANGED_SAMPLE_BLOCKS: "4097" }],
    ["HOLDFAST_UNCHANGED_SAMPLE_BLOCKS", { HOLDFAST_UNCHANGED_SAMPLE_BLOCKS: "-1" }],
    ["HOLDFAST_SHARED_DISK_BYTES", { HOLDFAST_SHARED_DISK_BYTES: "1000" }],
    ["HOLDFAST_WORKER_LOST_SECONDS", { HOLDFAST_WORKER_LOST_SECONDS: "10" }],
  ])("names %s when it is wrong", (name, settings) => {
    expect(messageOf(settings)).toContain(name);
  });

  it("names every setting that is wrong at once, and shows no value of a secret", () => {
    const message = messageOf({ HOLDFAST_MASTER_KEY: "topsecret", HOLDFAST_API_ISSUER: undefined });
    expect(message).toContain("HOLDFAST_MASTER_KEY");
    expect(message).toContain("HOLDFAST_API_ISSUER is missing");
    expect(message).not.toContain("topsecret");
  });
});
