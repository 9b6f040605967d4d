import { exportJWK, generateKeyPair } from "jose";
import { describe, expect, test } from "vitest";
import { deriveWorkerSecret, signEvent, verifyEvent } from "#core/protocol/event-authentication.ts";
import type { RestoreJob } from "#core/protocol/job.ts";
import { openJob, sealJob } from "#core/protocol/sealing.ts";
import type { WorkerEvent } from "#core/protocol/worker-event.ts";

const now = new Date("2026-11-22T01:00:00Z");
const secretMarker = "very-secret-signature";
const job: RestoreJob = {
  version: 1,
  kind: "restore",
  jobId: "restore-1",
  attempt: 1,
  workerId: "worker-a",
  expiresAt: "2026-11-22T02:00:00Z",
  repository: {
    repositoryId: "main",
    blobServiceUrl: "https://account.blob.core.windows.net/",
    container: "backups",
    folder: "holdfast",
    encryption: { kind: "password", password: secretMarker },
  },
  vmId: "vm-1",
  pointId: "point-1",
  source: { kind: "point" },
  disks: [
    {
      diskId: "d",
      sizeBytes: 512,
      writtenToBytes: 0,
      sas: `https://md-1.blob/x/abcd?sig=${secretMarker}`,
    },
  ],
};

async function workerKeys() {
  const { privateKey, publicKey } = await generateKeyPair("ECDH-ES", { crv: "P-256" });
  return { privateKey, publicJwk: await exportJWK(publicKey) };
}

describe("sealed jobs", () => {
  test("open for the worker that they are meant for, and show nothing to others", async () => {
    const keys = await workerKeys();
    const sealed = await sealJob(job, keys.publicJwk);
    expect(sealed).not.toContain(secretMarker);
    expect(Buffer.from(sealed.split(".")[3] ?? "", "base64url").toString("latin1")).not.toContain(
      secretMarker,
    );
    const opened = await openJob(sealed, {
      privateKey: keys.privateKey,
      workerId: "worker-a",
      now,
    });
    expect(opened).toEqual(job);
  });

  test("are refused by another key, another worker, after expiry, and when tampered with", async () => {
    const keys = await workerKeys();
    const other = await workerKeys();
    const sealed = await sealJob(job, keys.publicJwk);
    const refuse = async (promise: Promise<unknown>) =>
      expect(promise).rejects.toMatchObject({ code: "JobRefused" });
    await refuse(openJob(sealed, { privateKey: other.privateKey, workerId: "worker-a", now }));
    await refuse(openJob(sealed, { privateKey: keys.privateKey, workerId: "worker-b", now }));
    const later = new Date("2026-11-22T02:00:00Z");
    await refuse(
      openJob(sealed, { privateKey: keys.privateKey, workerId: "worker-a", now: later }),
    );
    const parts = sealed.split(".");
    const body = parts[3] ?? "";
    parts[3] = (body.startsWith("A") ? "B" : "A") + body.slice(1);
    await refuse(
      openJob(parts.join("."), { privateKey: keys.privateKey, workerId: "worker-a", now }),
    );
    await refuse(openJob("no.jwe", { privateKey: keys.privateKey, workerId: "worker-a", now }));
  });

  test("of an unknown version are refused with the field's name", async () => {
    const keys = await workerKeys();
    const sealed = await sealJob({ ...job, version: 2 as 1 }, keys.publicJwk);
    await expect(
      openJob(sealed, { privateKey: keys.privateKey, workerId: "worker-a", now }),
    ).rejects.toThrow(/version/);
  });
});

describe("worker events", () => {
  const masterKey = new Uint8Array(32).fill(9);
  const secretOf = (workerId: string) => deriveWorkerSecret(masterKey, workerId);
  const event: WorkerEvent = {
    version: 1,
    workerId: "worker-a",
    sequence: 3,
    sentAt: "2026-11-22T01:00:00Z",
    body: { kind: "heartbeat", memoryBytes: 1024 },
  };

  test("are accepted with the secret of the worker that they name", () => {
    expect(verifyEvent(signEvent(event, secretOf("worker-a")), secretOf)).toEqual(event);
  });

  test("are refused with another worker's secret or a changed text", () => {
    const stolen = signEvent(event, secretOf("worker-b"));
    expect(() => verifyEvent(stolen, secretOf)).toThrow(/wrong signature/);
    const signed = signEvent(event, secretOf("worker-a"));
    const changed = { ...signed, event: signed.event.replace('"sequence":3', '"sequence":4') };
    expect(() => verifyEvent(changed, secretOf)).toThrow(/wrong signature/);
    expect(() => verifyEvent({ ...signed, mac: "" }, secretOf)).toThrow(/wrong signature/);
  });

  test.each([undefined, null, "text", {}, { event: "{", mac: "x" }, { event: "{}", mac: "x" }])(
    "%j is dropped as invalid, whatever it is",
    (message) => {
      expect(() => verifyEvent(message, secretOf)).toThrow(
        expect.objectContaining({ code: "InvalidEvent" }),
      );
    },
  );

  test("secrets of two workers and of two control planes differ", () => {
    const other = deriveWorkerSecret(new Uint8Array(32).fill(8), "worker-a");
    expect(secretOf("worker-a")).not.toEqual(secretOf("worker-b"));
    expect(secretOf("worker-a")).not.toEqual(other);
    expect(secretOf("worker-a")).toHaveLength(32);
  });
});
