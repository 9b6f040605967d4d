import "reflect-metadata";
import { randomBytes, webcrypto } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BasicConstraintsExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { startDiskDataPlane, type DiskDataPlane } from "#local/disks/data-plane.ts";
import type { DiskDataPlaneOptions } from "#local/disks/data-plane.ts";
import { openDiskService, type LocalDiskService } from "#local/disks/local-disk-service.ts";

export const mebibyte = 1024 * 1024;

/** A certificate for 127.0.0.1 that signs itself, so that it is its own authority. */
export async function makeLoopbackCertificate(): Promise<{ key: string; cert: string }> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=disk data plane under test",
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 24 * 60 * 60_000),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true),
      new SubjectAlternativeNameExtension([{ type: "ip", value: "127.0.0.1" }]),
    ],
  });
  const key = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { key: PemConverter.encode(key, "PRIVATE KEY"), cert: certificate.toString("pem") };
}

/** A clock that tests move. */
class TestClock {
  #nowMs = Date.parse("2026-11-22T00:00:00Z");
  readonly now = (): Date => new Date(this.#nowMs);
  advanceSeconds(seconds: number): void {
    this.#nowMs += seconds * 1000;
  }
}

export interface DiskStack {
  readonly service: LocalDiskService;
  readonly plane: DiskDataPlane;
  readonly clock: TestClock;
  readonly directory: string;
  readonly ca: string;
  /** Ends service and server and opens them again over the same state. */
  restart(): Promise<DiskStack>;
  close(): Promise<void>;
}

export async function startDiskStack(
  options: Pick<DiskDataPlaneOptions, "networkPolicy"> = {},
): Promise<DiskStack> {
  const directory = await mkdtemp(join(tmpdir(), "disk-stack-"));
  return open(directory, new TestClock(), await makeLoopbackCertificate(), options);
}

async function open(
  directory: string,
  clock: TestClock,
  certificate: { key: string; cert: string },
  options: Pick<DiskDataPlaneOptions, "networkPolicy">,
): Promise<DiskStack> {
  const service = await openDiskService({
    stateDirectory: join(directory, "state"),
    now: clock.now,
    random: randomBytes,
  });
  const plane = await startDiskDataPlane({
    service,
    ...certificate,
    ...options,
    host: "127.0.0.1",
    port: 0,
  });
  const stop = async (): Promise<void> => {
    await plane.close();
    await service.close();
  };
  return {
    service,
    plane,
    clock,
    directory,
    ca: certificate.cert,
    restart: async () => {
      await stop();
      return open(directory, clock, certificate, options);
    },
    close: async () => {
      await stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Bytes that are not zero and differ by seed. */
export function pattern(lengthBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  for (let index = 0; index < lengthBytes; index++) bytes[index] = 1 + ((index * 7 + seed) % 255);
  return bytes;
}
