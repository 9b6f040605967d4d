import { describe, expect, it } from "vitest";
import {
  workerConfigurationInputSchema,
  workerConfigurationSchema,
  type WorkerConfiguration,
} from "#core/model/worker-configuration.ts";
import {
  chooseWorkerProfile,
  isWithoutRoom,
  jobFactsOf,
  MEDIUM_BYTES_MAX,
  SMALL_BYTES_MAX,
  type JobFacts,
} from "#core/workers/choose-worker.ts";
import { defaultWorkerConfiguration } from "#core/workers/default-configuration.ts";
import { fillTags } from "#core/workers/worker-tags.ts";

const automatic = defaultWorkerConfiguration(
  {
    resourceGroupId: "/subscriptions/s/resourceGroups/workers",
    imageUrn: "Canonical:ubuntu-24_04-lts:server:24.04.202610010",
    vmSize: "Standard_F4s_v2",
    perRegionMax: 5,
    idleSeconds: 600,
  },
  "westeurope",
);
const facts = (fields: Partial<JobFacts> = {}): JobFacts => ({
  kind: "backup",
  diskBytes: 1,
  evictions: 0,
  ...fields,
});
const spot = (evictionsMax: number): WorkerConfiguration => ({
  ...automatic,
  purchase: { kind: "spot", evictionsMax },
});

describe("the automatic configuration", () => {
  it("is one that an operator could have sent", () => {
    expect(workerConfigurationSchema.parse(automatic)).toEqual(automatic);
  });
});

describe("choice of a worker", () => {
  it.each<[Partial<JobFacts>, string]>([
    [{ diskBytes: 0 }, "small"],
    [{ diskBytes: SMALL_BYTES_MAX - 1 }, "small"],
    [{ diskBytes: SMALL_BYTES_MAX }, "medium"],
    [{ diskBytes: MEDIUM_BYTES_MAX - 1, kind: "restore" }, "medium"],
    [{ diskBytes: MEDIUM_BYTES_MAX }, "large"],
    [{ kind: "archive" }, "archive"],
    [{ kind: "check" }, "medium"],
    [{ kind: "maintain" }, "small"],
    [{ kind: "retrieve" }, "small"],
  ])("%o gets profile %s, with a reason", (given, profile) => {
    const choice = chooseWorkerProfile(facts(given), automatic);
    expect(choice.profile).toBe(profile);
    expect(choice.reasons[0]).toMatch(new RegExp(`^profile ${profile}: .+`));
    expect(choice.options.map(({ vmSize }) => vmSize)).toEqual(automatic.sizes[choice.profile]);
  });

  it("counts all disks of a job together", () => {
    const disks = [{ diskId: "a", sizeBytes: 5, targetDiskId: "t" }];
    const spec = { kind: "restore", repositoryId: "r", vmId: "v", pointId: "p" } as const;
    const twice = { ...spec, disks: [...disks, ...disks] };
    expect(jobFactsOf(twice, 2)).toEqual({ kind: "restore", diskBytes: 10, evictions: 2 });
    expect(jobFactsOf({ kind: "import", repositoryId: "r" }, 0).diskBytes).toBe(0);
  });

  it("takes spot first and regular after it, until a job was evicted often enough", () => {
    const choice = chooseWorkerProfile(facts({ evictions: 1 }), spot(2));
    expect(choice.mustBeRegular).toBe(false);
    expect(choice.options.map(({ priority }) => priority)).toEqual([
      "spot",
      "spot",
      "spot",
      "regular",
      "regular",
      "regular",
    ]);
    const evicted = chooseWorkerProfile(facts({ evictions: 2 }), spot(2));
    expect(evicted.mustBeRegular).toBe(true);
    expect(new Set(evicted.options.map(({ priority }) => priority))).toEqual(new Set(["regular"]));
    expect(evicted.reasons).toContain("regular, because 2 spot workers of this job were evicted");
  });

  it("has an ephemeral OS disk where the size has room and nothing speaks against it", () => {
    const disks = (configuration: WorkerConfiguration): string[] =>
      chooseWorkerProfile(facts(), configuration).options.map(({ osDisk }) => osDisk);
    expect(disks(automatic)).toEqual(["ephemeral", "ephemeral", "managed"]);
    expect(disks({ ...automatic, osDisk: "managed" })).toEqual(["managed", "managed", "managed"]);
    const encrypted = { ...automatic, diskEncryptionSetId: "/subscriptions/s/des" };
    expect(new Set(disks(encrypted))).toEqual(new Set(["managed"]));
  });

  it.each([
    [{ code: "SkuNotAvailable", message: "" }, true],
    [{ code: "ZonalAllocationFailed", message: "" }, true],
    [{ code: "OperationNotAllowed", message: "exceeding approved standard quota" }, true],
    [{ code: "OperationNotAllowed", message: "the disk is being exported" }, false],
    [{ code: "InvalidParameter", message: "quota" }, false],
  ])("%o means no room: %s", (error, expected) => {
    expect(isWithoutRoom(error)).toBe(expected);
  });
});

describe("tags of a worker", () => {
  it("name what the worker is for; unknown variables stay, long values are cut", () => {
    const variables = {
      region: "westeurope",
      session: "backup-1",
      policy: "",
      worker: "holdfast-1",
      profile: "small",
    };
    const tags = {
      owner: "backup team",
      run: "{session}/{policy} in {region}",
      odd: "{secret}",
      long: `{worker}${"x".repeat(300)}`,
    };
    const filled = fillTags(tags, variables);
    expect(filled).toMatchObject({
      owner: "backup team",
      run: "backup-1/ in westeurope",
      odd: "{secret}",
    });
    expect(filled["long"]).toHaveLength(256);
  });
});

describe("configuration of an operator", () => {
  const { location: _location, origin: _origin, ...input } = automatic;
  it.each<[object, string]>([
    [{ image: { kind: "marketplace", urn: "Canonical:u:s:latest" } }, "image.urn"],
    [{ image: { kind: "marketplace", urn: "Debian:debian-12:12-gen2:0.2026.1" } }, "image.urn"],
    [
      {
        image: { kind: "marketplace", urn: "Canonical:ubuntu-24_04-lts:server-arm64:24.04.20261" },
      },
      "image.urn",
    ],
    [{ sizes: { ...automatic.sizes, large: ["Standard_D4ps_v5"] } }, "sizes.large.0"],
    [{ sizes: { ...automatic.sizes, large: ["Standard_E4pds_v6"] } }, "sizes.large.0"],
    [{ minimum: 6 }, "minimum"],
    [{ idle: { action: "deallocate", afterSeconds: 1 } }, "idle.action"],
    [{ securityUpdates: { kind: "mirror", url: "http://m/$(x)" } }, "securityUpdates.url"],
    [{ sizes: { ...automatic.sizes, small: [] } }, "sizes.small"],
    [{ tags: { "a<b": "" } }, "tags.a<b"],
  ])("is refused with %o", (fields, path) => {
    const parsed = workerConfigurationInputSchema.safeParse({ ...input, ...fields });
    expect(parsed.error?.issues.map((issue) => issue.path.join("."))).toContain(path);
  });

  it.each([
    "Canonical:ubuntu-24_04-lts:server:24.04.202610140",
    "canonical:ubuntu-24_04-lts:minimal:24.04.202610140",
    "Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:22.04.202610140",
    "Canonical:0001-com-ubuntu-minimal-jammy:minimal-22_04-lts-gen2:22.04.202610140",
  ])("may name the image %s", (urn) => {
    const image = { kind: "marketplace", urn } as const;
    expect(workerConfigurationInputSchema.parse({ ...input, image }).image).toEqual(image);
  });

  it("may deallocate workers that have a managed disk", () => {
    const idle = { action: "deallocate", afterSeconds: 60 };
    const parsed = workerConfigurationInputSchema.parse({ ...input, osDisk: "managed", idle });
    expect(parsed.idle).toEqual(idle);
  });
});
