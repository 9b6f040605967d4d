import { randomUUID } from "node:crypto";
import { TableClient } from "@azure/data-tables";
import { afterAll, beforeAll, describe } from "vitest";
import { createMemoryRecordStore } from "#azure/storage/memory-record-store.ts";
import { createRecordStoreOver } from "#azure/storage/record-store.ts";
import {
  startAzuriteOverTls,
  type AzuriteOverTls,
} from "../integration/azure-adapters/azurite-over-tls.ts";
import { recordStoreContract } from "./record-store-contract.ts";

describe("records in memory", () => {
  recordStoreContract(async () => createMemoryRecordStore());
});

describe("records in Table Storage (Azurite)", () => {
  let azurite: AzuriteOverTls | undefined;
  beforeAll(async () => {
    azurite = await startAzuriteOverTls();
  });
  afterAll(async () => {
    await azurite?.[Symbol.asyncDispose]();
  });

  recordStoreContract(async () => {
    const suffix = randomUUID().replaceAll("-", "");
    const { tableUrl, credential } = azurite!;
    return createRecordStoreOver((name) => new TableClient(tableUrl, name + suffix, credential));
  });
});
