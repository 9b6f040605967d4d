/**
 * The local stack's own certificate authority (CA): `ca.pem` is what clients trust, `server.pem`
 * and `server.key` are what the stack's TLS servers present. All in one directory, made when
 * absent and kept while they are valid for a month and carry every name that is asked for.
 */
import "reflect-metadata";
import { createHash, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";

const dayMs = 24 * 3600 * 1000;
const renewalMarginMs = 30 * dayMs;
const caLifetimeMs = 3650 * dayMs;
/** TLS clients refuse server certificates that live longer than 825 days. */
const serverLifetimeMs = 800 * dayMs;
const keyAlgorithm = {
  name: "ECDSA",
  namedCurve: "P-256",
  hash: "SHA-256",
} as const;
const standardNames = ["localhost", "127.0.0.1", "::1"];

export interface ServerTls {
  readonly caPath: string;
  readonly certificatePath: string;
  readonly keyPath: string;
  /** PEM texts of the same files. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

export interface ServerTlsOptions {
  readonly directory: string;
  /** DNS names and addresses beside localhost, 127.0.0.1 and ::1. */
  readonly names?: readonly string[];
  readonly now?: () => Date;
}

/** Files of a server certificate, made or renewed when needed. Idempotent. */
export async function ensureServerTls(options: ServerTlsOptions): Promise<ServerTls> {
  const names = [...new Set([...standardNames, ...(options.names ?? [])])];
  const now = (options.now ?? (() => new Date()))();
  const paths = {
    caPath: join(options.directory, "ca.pem"),
    certificatePath: join(options.directory, "server.pem"),
    keyPath: join(options.directory, "server.key"),
  };
  if (!isUsable(paths, names, now)) await make(paths, names, now);
  return {
    ...paths,
    ca: readFileSync(paths.caPath, "utf8"),
    certificate: readFileSync(paths.certificatePath, "utf8"),
    key: readFileSync(paths.keyPath, "utf8"),
  };
}

type Paths = Pick<ServerTls, "caPath" | "certificatePath" | "keyPath">;

function isUsable(paths: Paths, names: readonly string[], now: Date): boolean {
  if (!Object.values(paths).every((path) => existsSync(path))) return false;
  const ca = new X509Certificate(readFileSync(paths.caPath));
  const server = new X509Certificate(readFileSync(paths.certificatePath));
  const endMs = Math.min(Date.parse(ca.validTo), Date.parse(server.validTo));
  if (endMs - now.getTime() < renewalMarginMs) return false;
  if (!server.verify(ca.publicKey)) return false;
  return names.every((name) =>
    isIP(name) === 0 ? server.checkHost(name) !== undefined : server.checkIP(name) !== undefined,
  );
}

/**
 * The CA's private key is used once and forgotten: a new server certificate comes with a new CA,
 * so that nothing on the disk can sign certificates that a developer's machine trusts.
 */
async function make(paths: Paths, names: readonly string[], now: Date): Promise<void> {
  x509.cryptoProvider.set(webcrypto);
  const caKeys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
  const serverKeys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
  const notBefore = new Date(now.getTime() - dayMs);
  const caName = `CN=Local Azure CA ${createHash("sha256").update(randomBytes(16)).digest("hex").slice(0, 8)}`;
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomBytes(8).toString("hex"),
    name: caName,
    notBefore,
    notAfter: new Date(now.getTime() + caLifetimeMs),
    keys: caKeys,
    signingAlgorithm: keyAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });
  const server = await x509.X509CertificateGenerator.create({
    serialNumber: randomBytes(8).toString("hex"),
    subject: "CN=localhost",
    issuer: ca.subject,
    notBefore,
    notAfter: new Date(now.getTime() + serverLifetimeMs),
    publicKey: serverKeys.publicKey,
    signingKey: caKeys.privateKey,
    signingAlgorithm: keyAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });
  const keyPem = x509.PemConverter.encode(
    await webcrypto.subtle.exportKey("pkcs8", serverKeys.privateKey),
    "PRIVATE KEY",
  );
  mkdirSync(join(paths.caPath, ".."), { recursive: true });
  writeFileSync(paths.keyPath, `${keyPem}\n`, { mode: 0o600 });
  // The mode above counts only for a new file.
  chmodSync(paths.keyPath, 0o600);
  writeFileSync(paths.certificatePath, `${server.toString("pem")}\n`);
  writeFileSync(paths.caPath, `${ca.toString("pem")}\n`);
}
