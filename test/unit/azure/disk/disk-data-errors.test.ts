import { describe, expect, it } from "vitest";
import { translateRefusal } from "#azure/disk/disk-data-errors.ts";
import { createDiskData } from "#azure/disk/disk-data.ts";

const failed = {
  operation: "reading",
  host: "md-1.z1.blob.storage.azure.net",
  azureMessage: "",
  requestId: "r1",
  hadToken: false,
  asksForToken: false,
};

describe("translateRefusal", () => {
  it.each([
    [403, "AuthenticationFailed", "Signature not valid in the specified time frame", "SasExpired"],
    [403, "AuthenticationFailed", "Signature did not match.", "SasRefused"],
    [403, "AuthorizationPermissionMismatch", "", "SasRefused"],
    [401, "NoAuthenticationInformation", "", "SasRefused"],
    [403, "AuthorizationFailure", "", "NetworkRefused"],
    [404, "ResourceNotFound", "", "DiskNotFound"],
    [409, "PreviousSnapshotOperationNotSupported", "", "DiffUnavailable"],
    [409, "BlobGenerationMismatch", "", "DiffUnavailable"],
    [400, "PreviousSnapshotCannotBeNewer", "", "DiffUnavailable"],
    [416, "InvalidRange", "", "DiskRequestRefused"],
  ])("takes %d %s as final", (statusCode, azureCode, azureMessage, code) => {
    const error = translateRefusal({ ...failed, statusCode, azureCode, azureMessage });
    expect(error).toMatchObject({ code, retry: "never" });
    expect(error.context).toMatchObject({ requestId: "r1", azureCode });
  });

  it.each([
    // Without a token, a challenge for one; AzCopy has seen it with both status codes.
    [401, "NoAuthenticationInformation", false, true, "DiskTokenRefused"],
    [403, "AuthenticationFailed", false, true, "DiskTokenRefused"],
    // With one.
    [401, "InvalidAuthenticationInfo", true, true, "DiskTokenRefused"],
    [403, "AuthorizationPermissionMismatch", true, false, "DiskPermissionMissing"],
    [403, "AuthorizationFailure", true, false, "NetworkRefused"],
    [403, "AuthenticationFailed", true, false, "SasRefused"],
  ])("takes %d %s (token %s, challenge %s) as final", (...given) => {
    const [statusCode, azureCode, hadToken, asksForToken, code] = given;
    const error = translateRefusal({ ...failed, statusCode, azureCode, hadToken, asksForToken });
    expect(error).toMatchObject({ code, retry: "never" });
  });

  it.each([
    [503, "ServerBusy", "DiskBusy"],
    [429, "TooManyRequests", "DiskBusy"],
    [500, "InternalError", "DiskUnavailable"],
    [502, "Unknown", "DiskUnavailable"],
    [500, "OperationTimedOut", "RequestTimedOut"],
  ])("takes %d %s as passing", (statusCode, azureCode, code) => {
    const error = translateRefusal({ ...failed, statusCode, azureCode });
    expect(error).toMatchObject({ code, retry: "backoff" });
  });
});

it("refuses what is not an https SAS without showing it", () => {
  for (const sas of ["", "http://host/abcd?sig=secret", "https://host/abcd?si=secret", "secret"]) {
    expect(() => createDiskData().openReader(sas)).toThrow(
      expect.objectContaining({
        code: "SasMalformed",
        message: expect.not.stringContaining("secret"),
      }),
    );
  }
});

it("gives a token to hosts of disks only, and opens none that it cannot", () => {
  const options = { needsToken: true };
  const data = createDiskData({ readToken: async () => "t" });
  const open = (host: string) => () => data.openReader(`https://${host}/c/abcd?sig=s`, options);
  for (const host of ["md-1.z1.blob.storage.azure.net", "md-hdd-2.blob.core.windows.net"])
    expect(open(host)).not.toThrow();
  for (const host of [
    "account.blob.core.windows.net",
    "md-1.blob.core.windows.net.example",
    "example.com",
    "127.0.0.1.example",
  ])
    expect(open(host)).toThrow(expect.objectContaining({ code: "DiskHostUnknown" }));
  const without = () =>
    createDiskData().openWriter("https://md-1.blob.core.windows.net/a?sig=s", 512, options);
  expect(without).toThrow(/asks for a token/);
});

it("refuses a disk size that is not made of sectors", () => {
  expect(() => createDiskData().openWriter("https://host/abcd?sig=s", 1000)).toThrow(/512/);
});
