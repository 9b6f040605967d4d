/**
 * Simulated Entra ID. A *tenant* has one signing key; *tokens* are RS256 JWTs.
 * Version 1 tokens (for Resource Manager and storage) have the issuer
 * `https://sts.windows.net/<tenant>/`, version 2 tokens (for the product's own API) have
 * `https://<host>/<tenant>/v2.0`, as
 * https://learn.microsoft.com/entra/identity-platform/access-tokens describes.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import {
  SignJWT,
  calculateJwkThumbprint,
  decodeJwt,
  errors,
  exportJWK,
  generateKeyPair,
  importJWK,
  jwtVerify,
  type CryptoKey,
  type JWK,
  type JWTPayload,
} from "jose";
import { z } from "zod";

const defaultTenantId = "5d0c9a52-2f0e-4f0c-9f6e-8f2f4b1d7a10";

const clockSkewSeconds = 300;
const defaultLifetimeSeconds = 3600;

export interface TokenRequest {
  readonly oid: string;
  readonly appId: string;
  readonly audience: string;
  readonly roles?: readonly string[];
  /** Delegated permissions, blank-separated, e.g. `user_impersonation`. */
  readonly scp?: string;
  readonly name?: string;
  /** May be negative: a token that has expired. */
  readonly lifetimeSeconds?: number;
  /** Seconds from now at which it becomes valid; default: at once. */
  readonly notBeforeSeconds?: number;
  /** Default: the version 1 issuer of the tenant. */
  readonly issuer?: string;
}

export interface IssuedToken {
  readonly token: string;
  /** Unix time in seconds. */
  readonly expiresOn: number;
}

interface TokenExpectation {
  /** Compared without a trailing slash. */
  readonly audiences: readonly string[];
  readonly issuers: readonly string[];
}

export type TokenVerdict =
  | { readonly kind: "valid"; readonly oid: string; readonly claims: JWTPayload }
  | { readonly kind: "malformed" }
  | { readonly kind: "badSignature" }
  | { readonly kind: "expired"; readonly expiredAt: Date }
  | { readonly kind: "notYetValid" }
  | { readonly kind: "wrongAudience"; readonly audience: string }
  | { readonly kind: "wrongIssuer"; readonly issuer: string };

export interface TokenService {
  readonly tenantId: string;
  /** `https://sts.windows.net/<tenant>/` */
  readonly v1Issuer: string;
  /** Public key set for `jwks_uri`. */
  readonly keySet: { readonly keys: readonly JWK[] };
  issueToken(request: TokenRequest): Promise<IssuedToken>;
  verify(token: string, expected: TokenExpectation): Promise<TokenVerdict>;
}

export interface TokenServiceOptions {
  /** File that keeps the tenant id and the private key; made (mode 0600) when absent. */
  readonly path: string;
  /** Used when the file does not exist yet. */
  readonly tenantId?: string;
  readonly now?: () => Date;
}

const storedSchema = z.object({
  tenantId: z.string(),
  privateKey: z.looseObject({ kty: z.literal("RSA"), n: z.string(), e: z.string(), d: z.string() }),
});

/** Opens or makes the tenant's signing key. */
export async function openTokenService(options: TokenServiceOptions): Promise<TokenService> {
  const now = options.now ?? (() => new Date());
  const stored = readStored(options.path) ?? (await makeStored(options));
  const { tenantId, privateKey } = stored;
  const publicJwk: JWK = { kty: "RSA", n: privateKey.n, e: privateKey.e };
  const kid = await calculateJwkThumbprint(publicJwk);
  const signingKey = await importJWK(privateKey, "RS256");
  const verificationKey = await importJWK(publicJwk, "RS256");
  const v1Issuer = `https://sts.windows.net/${tenantId}/`;

  async function issueToken(request: TokenRequest): Promise<IssuedToken> {
    const nowSeconds = Math.floor(now().getTime() / 1000);
    const lifetimeSeconds = request.lifetimeSeconds ?? defaultLifetimeSeconds;
    const expiresOn = nowSeconds + lifetimeSeconds;
    const issuedAt = Math.min(nowSeconds, expiresOn) - 60;
    const issuer = request.issuer ?? v1Issuer;
    const version = issuer === v1Issuer ? "1.0" : "2.0";
    const claims = {
      oid: request.oid,
      sub: request.oid,
      tid: tenantId,
      ver: version,
      ...(version === "1.0" ? { appid: request.appId } : { azp: request.appId }),
      ...(request.roles === undefined ? {} : { roles: [...request.roles] }),
      ...(request.scp === undefined ? {} : { scp: request.scp }),
      ...(request.name === undefined ? {} : { name: request.name }),
    };
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: "RS256", typ: "JWT", kid })
      .setIssuer(issuer)
      .setAudience(request.audience)
      .setIssuedAt(issuedAt)
      .setNotBefore(
        request.notBeforeSeconds === undefined ? issuedAt : nowSeconds + request.notBeforeSeconds,
      )
      .setExpirationTime(expiresOn)
      .sign(signingKey);
    return { token, expiresOn };
  }

  return {
    tenantId,
    v1Issuer,
    keySet: { keys: [{ ...publicJwk, use: "sig", alg: "RS256", kid }] },
    issueToken,
    verify: (token, expected) => verifyToken(token, { expected, key: verificationKey, now: now() }),
  };
}

interface Verification {
  readonly expected: TokenExpectation;
  readonly key: CryptoKey | Uint8Array;
  readonly now: Date;
}

async function verifyToken(token: string, check: Verification): Promise<TokenVerdict> {
  let claims: JWTPayload;
  try {
    claims = decodeJwt(token);
    await jwtVerify(token, check.key, {
      algorithms: ["RS256"],
      currentDate: check.now,
      clockTolerance: clockSkewSeconds,
    });
  } catch (error) {
    return verdictOf(error);
  }
  const expiredAt = new Date((claims.exp ?? 0) * 1000);
  // The tolerance is for notBefore only: an expired token is refused at once.
  if (expiredAt <= check.now) return { kind: "expired", expiredAt };
  const audience = typeof claims.aud === "string" ? claims.aud : (claims.aud?.[0] ?? "");
  const known = check.expected.audiences.map(withoutSlash);
  if (!known.includes(withoutSlash(audience))) return { kind: "wrongAudience", audience };
  const issuer = claims.iss ?? "";
  if (!check.expected.issuers.includes(issuer)) return { kind: "wrongIssuer", issuer };
  const oid = claims["oid"];
  if (typeof oid !== "string") return { kind: "malformed" };
  return { kind: "valid", oid, claims };
}

function verdictOf(error: unknown): TokenVerdict {
  if (error instanceof errors.JWTExpired)
    return { kind: "expired", expiredAt: new Date((error.payload.exp ?? 0) * 1000) };
  if (error instanceof errors.JWTClaimValidationFailed && error.claim === "nbf")
    return { kind: "notYetValid" };
  if (error instanceof errors.JWSSignatureVerificationFailed) return { kind: "badSignature" };
  return { kind: "malformed" };
}

function withoutSlash(audience: string): string {
  return audience.endsWith("/") ? audience.slice(0, -1) : audience;
}

function readStored(path: string): z.infer<typeof storedSchema> | undefined {
  try {
    return storedSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

async function makeStored(options: TokenServiceOptions): Promise<z.infer<typeof storedSchema>> {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  const stored = storedSchema.parse({
    tenantId: options.tenantId ?? defaultTenantId,
    privateKey: await exportJWK(privateKey),
  });
  mkdirSync(dirname(options.path), { recursive: true });
  writeFileSync(options.path, JSON.stringify(stored), { mode: 0o600 });
  return stored;
}
