import { mkdtempSync, rmSync, statSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManagedIdentityCredential } from "@azure/identity";
import { createRemoteJWKSet, decodeJwt, jwtVerify } from "jose";
import * as tls from "node:tls";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { startAppServiceEndpoint } from "#local/identity/app-service-endpoint.ts";
import { startInstanceMetadataEndpoint } from "#local/identity/instance-metadata-endpoint.ts";
import { startOpenIdServer } from "#local/identity/openid-server.ts";
import { PrincipalRegistry } from "#local/identity/principal-registry.ts";
import type { Principal } from "#local/identity/principals.ts";
import { openTokenService, type TokenService } from "#local/identity/token-service.ts";
import { ensureServerTls } from "#local/tls/authority.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-identity-"));
const keyPath = join(directory, "key.json");
const arm = "https://management.azure.com";
let tokens: TokenService;
let principals: PrincipalRegistry;
let system: Principal;
let worker: Principal;

beforeAll(async () => {
  tokens = await openTokenService({ path: keyPath });
  principals = new PrincipalRegistry(join(directory, "principals.json"));
  system = principals.create({ kind: "SystemAssigned", displayName: "vm", resourceId: "/vm" });
  worker = principals.create({
    kind: "UserAssigned",
    displayName: "worker",
    resourceId: "/ids/Worker",
  });
});
afterAll(() => {
  principals[Symbol.dispose]();
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

async function get(
  url: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }),
      );
    });
    sent.on("error", reject).end();
  });
}

async function oidOf(token: string): Promise<unknown> {
  const verdict = await tokens.verify(token, { audiences: [arm], issuers: [tokens.v1Issuer] });
  return verdict.kind === "valid" ? verdict.oid : verdict;
}

describe("tokens", () => {
  test("tenant, key and principals are found again after a restart", async () => {
    const { token } = await tokens.issueToken({ oid: "o", appId: "a", audience: arm });
    const again = await openTokenService({ path: keyPath, tenantId: "ignored" });
    expect(again.tenantId).toBe(tokens.tenantId);
    expect(
      await again.verify(token, { audiences: [arm], issuers: [tokens.v1Issuer] }),
    ).toMatchObject({ kind: "valid", oid: "o" });
    expect(statSync(keyPath).mode & 0o777).toBe(0o600);
    using reopened = new PrincipalRegistry(join(directory, "principals.json"));
    expect(reopened.list()).toEqual(principals.list());
  });

  test("a token of another tenant's key is refused", async () => {
    const other = await openTokenService({ path: join(directory, "other.json") });
    const { token } = await other.issueToken({ oid: "o", appId: "a", audience: arm });
    expect(await tokens.verify(token, { audiences: [arm], issuers: [tokens.v1Issuer] })).toEqual({
      kind: "badSignature",
    });
  });

  test("the discovery document leads to keys that verify an API token", async () => {
    const certificates = await ensureServerTls({ directory: join(directory, "tls") });
    tls.setDefaultCACertificates([...tls.getCACertificates("default"), certificates.ca]);
    await using server = await startOpenIdServer(tokens, { tls: certificates });
    const { token } = await server.issueApiToken({
      oid: system.objectId,
      appId: "cli",
      audience: "api://holdfast",
      roles: ["Operator"],
      name: "Ada",
      scp: "user_impersonation",
    });
    const discovery = await fetch(`${server.issuer}/.well-known/openid-configuration`);
    const { issuer, jwks_uri } = (await discovery.json()) as { issuer: string; jwks_uri: string };
    expect(issuer).toBe(server.issuer);
    const verified = await jwtVerify(token, createRemoteJWKSet(new URL(jwks_uri)), {
      issuer,
      audience: "api://holdfast",
    });
    expect(verified.payload).toMatchObject({
      oid: system.objectId,
      roles: ["Operator"],
      name: "Ada",
      scp: "user_impersonation",
      ver: "2.0",
    });
    expect(
      (await fetch(`${server.origin}/other/v2.0/.well-known/openid-configuration`)).status,
    ).toBe(400);
  });
});

describe("App Service endpoint", () => {
  test("the SDK's credential gets a token of the identity that it names", async () => {
    await using endpoint = await startAppServiceEndpoint({
      tokens,
      identities: () => [system, worker],
    });
    vi.stubEnv("IDENTITY_ENDPOINT", endpoint.identityEndpoint);
    vi.stubEnv("IDENTITY_HEADER", endpoint.identityHeader);
    const named = await new ManagedIdentityCredential({ clientId: worker.clientId }).getToken(
      `${arm}/.default`,
    );
    expect(await oidOf(named.token)).toBe(worker.objectId);
    const unnamed = await new ManagedIdentityCredential().getToken(`${arm}/.default`);
    expect(await oidOf(unnamed.token)).toBe(system.objectId);
    vi.unstubAllEnvs();
  });

  test("refusals", async () => {
    await using endpoint = await startAppServiceEndpoint({ tokens, identities: () => [worker] });
    const secret = { "x-identity-header": endpoint.identityHeader };
    const ask = async (query: string, headers: Record<string, string> = secret) =>
      get(`${endpoint.identityEndpoint}?${query}`, headers);
    const good = `api-version=2019-08-01&resource=${arm}`;
    expect((await ask(good)).status).toBe(200);
    expect((await ask(good, {})).status).toBe(401);
    expect((await ask(good, { "x-identity-header": "x".repeat(32) })).status).toBe(401);
    expect((await ask(`api-version=2017-09-01&resource=${arm}`)).status).toBe(400);
    expect((await ask("api-version=2019-08-01")).status).toBe(400);
    expect(await ask(`${good}&client_id=${system.clientId}`)).toMatchObject({
      status: 400,
      body: { message: "Unable to load the proper Managed Identity." },
    });
  });
});

describe("instance metadata endpoint", () => {
  const compute = () => ({ name: "vm", location: "westeurope", resourceId: "/vm", vmId: "1" });

  test("the SDK's credential gets a token, of the worker's identity when it names it", async () => {
    await using endpoint = await startInstanceMetadataEndpoint({
      tokens,
      vm: { identities: () => [system, worker], compute },
    });
    vi.stubEnv("AZURE_POD_IDENTITY_AUTHORITY_HOST", endpoint.origin);
    const own = await new ManagedIdentityCredential().getToken(`${arm}/.default`);
    expect(await oidOf(own.token)).toBe(system.objectId);
    const named = await new ManagedIdentityCredential({ clientId: worker.clientId }).getToken(
      `${arm}/.default`,
    );
    expect(await oidOf(named.token)).toBe(worker.objectId);
    vi.unstubAllEnvs();
  });

  const token = "/metadata/identity/oauth2/token";
  const good = `api-version=2018-02-01&resource=${arm}`;
  test.each([
    ["no header", `${token}?${good}`, {}, "Required metadata header not specified"],
    [
      "a forwarded request",
      `${token}?${good}`,
      { metadata: "true", "x-forwarded-for": "10.0.0.1" },
      "Requests with X-Forwarded-For are not served",
    ],
    [
      "no version",
      `${token}?resource=${arm}`,
      { metadata: "true" },
      "Required query parameter 'api-version' was not specified",
    ],
    [
      "no resource",
      `${token}?api-version=2018-02-01`,
      { metadata: "true" },
      "Required query variable 'resource' is missing",
    ],
    [
      "an identity that the VM has not",
      `${token}?${good}&client_id=00000000-0000-0000-0000-000000000000`,
      { metadata: "true" },
      "Identity not found",
    ],
  ])("%s is 400", async (_, path, headers, description) => {
    await using endpoint = await startInstanceMetadataEndpoint({
      tokens,
      vm: { identities: () => [worker], compute },
    });
    expect(await get(`${endpoint.origin}${path}`, headers as Record<string, string>)).toEqual({
      status: 400,
      body: { error: "invalid_request", error_description: description },
    });
  });

  test("the audience is the resource to the letter; what the tenant does not know has none", async () => {
    await using endpoint = await startInstanceMetadataEndpoint({
      tokens,
      vm: { identities: () => [worker], compute },
    });
    const ask = async (resource: string) =>
      get(`${endpoint.origin}${token}?api-version=2018-02-01&resource=${resource}`, {
        metadata: "true",
      });
    for (const resource of ["https://disk.azure.com/", "https://disk.azure.com"]) {
      const { body } = await ask(resource);
      expect(decodeJwt(String(body["access_token"])).aud).toBe(resource);
    }
    expect(await ask("https://disks.azure.com/")).toMatchObject({
      status: 400,
      body: { error: "invalid_resource" },
    });
  });

  test("a VM without identities has no token, one with two user-assigned ones must be told which", async () => {
    const other = principals.create({
      kind: "UserAssigned",
      displayName: "other",
      resourceId: "/ids/other",
    });
    const identities: Principal[] = [];
    await using endpoint = await startInstanceMetadataEndpoint({
      tokens,
      vm: { identities: () => identities, compute },
    });
    const ask = async (more = "") =>
      get(`${endpoint.origin}${token}?${good}${more}`, { metadata: "true" });
    expect((await ask()).body["error_description"]).toBe("Identity not found");
    identities.push(worker, other);
    expect(String((await ask()).body["error_description"])).toMatch(
      /^Multiple user assigned identities exist/,
    );
    const chosen = await ask("&msi_res_id=/IDS/worker");
    expect([chosen.status, await oidOf(String(chosen.body["access_token"]))]).toEqual([
      200,
      worker.objectId,
    ]);
  });

  test("the instance document, whole and by path", async () => {
    await using endpoint = await startInstanceMetadataEndpoint({
      tokens,
      vm: { identities: () => [], compute },
    });
    const ask = async (path: string) =>
      get(`${endpoint.origin}/metadata/instance${path}?api-version=2021-02-01`, {
        metadata: "true",
      });
    expect((await ask("")).body).toEqual({ compute: compute(), network: {} });
    expect((await ask("/compute")).body).toEqual(compute());
    expect((await ask("/nothing")).status).toBe(404);
  });
});
