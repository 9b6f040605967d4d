import { describe, expect, test } from "vitest";
import { AppSettings } from "#local/functions-host/settings.ts";
import { StorageConnections } from "#local/functions-host/storage/storage-connections.ts";

function connect(environment: Record<string, string>, name: string) {
  return new StorageConnections(new AppSettings(environment)).get(name);
}

const emulator =
  "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:1/a;QueueEndpoint=http://127.0.0.1:2/a;TableEndpoint=http://127.0.0.1:3/a;";

describe("a storage connection", () => {
  test.each(["Work", "AzureWebJobsWork"])("is a connection string in %s", (setting) => {
    const connection = connect({ [setting]: emulator }, "Work");
    expect(connection.blobs().url).toBe("http://127.0.0.1:1/a");
    expect(connection.queues().url).toBe("http://127.0.0.1:2/a");
    expect(connection.table("t").url).toBe("http://127.0.0.1:3/a");
  });

  test("is an account by its name, opened with the app's identity", () => {
    const connection = connect({ Work__accountName: "acct" }, "Work");
    expect(connection.blobs().url).toBe("https://acct.blob.core.windows.net/");
    expect(connection.queues().url).toBe("https://acct.queue.core.windows.net");
    expect(connection.table("t").url).toBe("https://acct.table.core.windows.net");
  });

  test("is an account by service addresses, and says which one is missing", () => {
    const connection = connect(
      { Work__queueServiceUri: "https://localhost:9/acct", Work__clientId: "id" },
      "Work",
    );
    expect(connection.queues().url).toBe("https://localhost:9/acct");
    expect(() => connection.blobs()).toThrow("Set Work__blobServiceUri");
  });

  test("must be configured", () => {
    expect(() => connect({}, "Work")).toThrow("Storage connection 'Work' is not configured");
  });
});
