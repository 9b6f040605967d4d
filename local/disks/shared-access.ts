import { createHmac, timingSafeEqual } from "node:crypto";
import type { GrantedAccess } from "./disk-service.ts";

/**
 * SAS of managed disks: a service SAS that names a stored policy (`si`), as Azure's do, so that
 * permissions and expiry stand on the server and a revoked grant is dead at once.
 */
const sasVersion = "2018-03-28";

export interface SignedGrant {
  readonly path: string;
  readonly access: GrantedAccess;
  readonly identifier: string;
  readonly expiresAt: string;
}

/** `sv=...&sr=b&si=...&sig=...` */
export function signSas(key: Uint8Array, grant: SignedGrant): string {
  const query = new URLSearchParams({ sv: sasVersion, sr: "b", si: grant.identifier });
  query.set("sig", signatureOf(key, grant));
  return query.toString();
}

/** True when every signed part of the query fits the grant; nothing of it may be missing. */
export function isSasValid(key: Uint8Array, grant: SignedGrant, query: URLSearchParams): boolean {
  if (query.get("sv") !== sasVersion || query.get("sr") !== "b") return false;
  const expected = Buffer.from(signatureOf(key, grant));
  const given = Buffer.from(query.get("sig") ?? "");
  return expected.byteLength === given.byteLength && timingSafeEqual(expected, given);
}

function signatureOf(key: Uint8Array, grant: SignedGrant): string {
  const text = [sasVersion, "b", grant.path, grant.access, grant.expiresAt, grant.identifier];
  return createHmac("sha256", key).update(text.join("\n")).digest("base64");
}
