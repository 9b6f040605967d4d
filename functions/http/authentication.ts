import { createRemoteJWKSet, errors, jwtVerify, type JWTVerifyGetKey } from "jose";
import { messageOf } from "#core/lib/errors.ts";

/**
 * Authentication of the API: a bearer token (JWT) whose signature, issuer, audience and times are
 * checked here, whatever stands in front of the app. Only RS256, as Entra ID signs; a token that
 * names another algorithm is refused before any key is looked at.
 */
export type Authentication =
  | { readonly ok: true; readonly subject: string }
  /** Of the caller's token; or `unavailable`: the signing keys cannot be read. */
  | { readonly ok: false; readonly kind: "refused" | "unavailable"; readonly reason: string };

export type Authenticate = (authorization: string | null) => Promise<Authentication>;

export interface AuthenticationOptions {
  readonly issuer: string;
  readonly audience: string;
  readonly keys: JWTVerifyGetKey;
  readonly clock: () => Date;
}

/** Clocks of issuer and app may differ by so much. */
const CLOCK_TOLERANCE_SECONDS = 30;

/** Keys of the issuer, read when they are needed and kept. */
export function createIssuerKeys(jwksUrl: string): JWTVerifyGetKey {
  return createRemoteJWKSet(new URL(jwksUrl));
}

export function createAuthenticate(options: AuthenticationOptions): Authenticate {
  return async (authorization) => {
    const [, token] = /^Bearer ([A-Za-z0-9._-]+)$/i.exec(authorization ?? "") ?? [];
    if (token === undefined)
      return { ok: false, kind: "refused", reason: "a bearer token is missing" };
    try {
      const { payload } = await jwtVerify(token, options.keys, {
        issuer: options.issuer,
        audience: options.audience,
        algorithms: ["RS256"],
        requiredClaims: ["exp"],
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        currentDate: options.clock(),
      });
      return { ok: true, subject: payload.sub ?? "" };
    } catch (error) {
      const reason = reasonOf(error);
      if (reason !== undefined) return { ok: false, kind: "refused", reason };
      return { ok: false, kind: "unavailable", reason: messageOf(error) };
    }
  };
}

function reasonOf(error: unknown): string | undefined {
  if (error instanceof errors.JWTExpired) return "the token has expired";
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === "nbf") return "the token is not valid yet";
    return `the token's claim '${error.claim}' is wrong or missing`;
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) return "the signature is wrong";
  if (error instanceof errors.JOSEAlgNotAllowed) return "the token is not signed with RS256";
  if (error instanceof errors.JWKSNoMatchingKey) return "the token is signed with an unknown key";
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid)
    return "the token is malformed";
  return undefined;
}
