import { describe, expect, it } from "vitest";
import type { DiskConfiguration } from "#core/model/vm-configuration.ts";
import { planDiskSettings, sameSettings } from "#core/restore/plan-disk-settings.ts";
import { createTestVm } from "../../functions/test-vm.ts";

const diskAccessId = "/subscriptions/s/providers/Microsoft.Compute/diskAccesses/theirs";
const access = {
  diskAccessId,
  name: "theirs",
  location: "westeurope",
  provisioning: "succeeded",
} as const;
const closed = { policy: "DenyAll", publicAccess: false };

function source(fields: Partial<DiskConfiguration>): DiskConfiguration {
  return { ...createTestVm().osDisk, ...fields };
}

const plan = (fields: Partial<DiskConfiguration>, location = "westeurope", found = true) =>
  planDiskSettings(source(fields), { location, access: found ? access : undefined });

describe("settings of a restored disk", () => {
  it("are those of its source", () => {
    expect(plan({ networkAccessPolicy: "AllowAll", publicNetworkAccess: "Enabled" })).toEqual({
      settings: { networkAccess: { policy: "AllowAll", publicAccess: true } },
    });
    expect(
      plan({
        networkAccessPolicy: "DenyAll",
        publicNetworkAccess: "Disabled",
        diskEncryptionSetId: "/set",
        dataAccessAuthMode: "AzureActiveDirectory",
      }),
    ).toEqual({
      settings: {
        networkAccess: closed,
        diskEncryptionSetId: "/set",
        dataAccessAuthMode: "AzureActiveDirectory",
      },
    });
    expect(
      plan({ networkAccessPolicy: "AllowPrivate", publicNetworkAccess: "Disabled", diskAccessId }),
    ).toEqual({
      settings: { networkAccess: { policy: "AllowPrivate", publicAccess: false, diskAccessId } },
    });
  });

  it("are closed, and told, where its disk access is gone or elsewhere, or nothing is known", () => {
    const cases = [
      [plan({ networkAccessPolicy: "AllowPrivate", diskAccessId }, "westeurope", false), "theirs"],
      [plan({ networkAccessPolicy: "AllowPrivate", diskAccessId }, "northeurope"), "theirs"],
      [plan({}), "does not tell the network access"],
    ] as const;
    for (const [{ settings, note }, text] of cases) {
      expect(settings.networkAccess).toEqual(closed);
      expect(note).toContain(text);
    }
  });

  it("are compared without regard to the case of ids and to what is not wanted", () => {
    const wanted = plan({
      networkAccessPolicy: "AllowPrivate",
      publicNetworkAccess: "Disabled",
      diskAccessId,
      diskEncryptionSetId: "/set",
    }).settings;
    const found = {
      networkAccess: { ...wanted.networkAccess, diskAccessId: diskAccessId.toUpperCase() },
      diskEncryptionSetId: "/SET",
    };
    expect(sameSettings(found, wanted)).toBe(true);
    expect(sameSettings({ ...found, diskEncryptionSetId: undefined }, wanted)).toBe(false);
    expect(
      sameSettings(
        { ...found, networkAccess: { ...found.networkAccess, diskAccessId: "/x" } },
        wanted,
      ),
    ).toBe(false);
    expect(
      sameSettings(
        { ...found, networkAccess: { ...found.networkAccess, publicAccess: true } },
        wanted,
      ),
    ).toBe(false);
    const open = plan({ networkAccessPolicy: "AllowAll" }).settings;
    expect(
      sameSettings(
        { networkAccess: { policy: "AllowAll", publicAccess: true, diskAccessId } },
        open,
      ),
    ).toBe(true);
    const token = { ...wanted, dataAccessAuthMode: "AzureActiveDirectory" } as const;
    expect(sameSettings(found, token)).toBe(false);
  });
});
