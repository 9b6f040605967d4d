import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ensureServerTls } from "#local/tls/authority.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "holdfast-tls-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const dayMs = 24 * 3600 * 1000;

test("the certificate names this machine and what is asked for, and the CA signed it", async () => {
  const made = await ensureServerTls({ directory, names: ["account.blob.local", "10.0.0.4"] });
  const server = new X509Certificate(made.certificate);
  const ca = new X509Certificate(made.ca);
  expect(server.verify(ca.publicKey)).toBe(true);
  expect([ca.ca, server.ca]).toEqual([true, false]);
  for (const name of ["localhost", "account.blob.local"]) expect(server.checkHost(name)).toBe(name);
  for (const address of ["127.0.0.1", "::1", "10.0.0.4"])
    expect(server.checkIP(address)).toBe(address);
  expect(server.checkHost("example.org")).toBeUndefined();
});

test("the private key is for its owner only", async () => {
  const { keyPath } = await ensureServerTls({ directory });
  expect(statSync(keyPath).mode & 0o777).toBe(0o600);
});

test("certificates are kept while they fit and made anew for another name or near their end", async () => {
  const first = await ensureServerTls({ directory });
  expect(await ensureServerTls({ directory })).toEqual(first);
  const named = await ensureServerTls({ directory, names: ["other.local"] });
  expect(named.certificate).not.toBe(first.certificate);
  expect(await ensureServerTls({ directory })).toEqual(named);
  const lateMs = Date.parse(new X509Certificate(named.certificate).validTo) - 29 * dayMs;
  const renewed = await ensureServerTls({ directory, now: () => new Date(lateMs) });
  expect(renewed.certificate).not.toBe(named.certificate);
});
