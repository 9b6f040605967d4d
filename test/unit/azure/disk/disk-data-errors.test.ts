import { describe, expect, it } from "vitest";
import { translateRefusal } from "#azure/disk/disk-data-errors.ts";
import { createDiskData } from "#azure/disk/disk-data.ts";

const failed = {
  operation: "reading",
  host: "md-1.z1.blob.storage.azure.net",
  azureMessage: "",
  requestId: "r1",
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

it("refuses a disk size that is not made of sectors", () => {
  expect(() => createDiskData().openWriter("https://host/abcd?sig=s", 1000)).toThrow(/512/);
});
