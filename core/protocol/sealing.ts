import { CompactEncrypt, compactDecrypt, importJWK, type CryptoKey, type JWK } from "jose";
import { HoldfastError } from "../lib/errors.ts";
import { jobSchema, type Job } from "./job.ts";

/** RFC 7518: the job's key is agreed with an ephemeral key (forward secret), contents by AES-GCM. */
const ALGORITHM = "ECDH-ES";
const CONTENT_ENCRYPTION = "A256GCM";
const JOB_TYPE = "holdfast-job+1";

/** Seals a job to the public key that a worker enrolled with: a compact JWE. */
export async function sealJob(job: Job, workerPublicKey: JWK): Promise<string> {
  const key = await importJWK(workerPublicKey, ALGORITHM);
  return new CompactEncrypt(new TextEncoder().encode(JSON.stringify(job)))
    .setProtectedHeader({
      alg: ALGORITHM,
      enc: CONTENT_ENCRYPTION,
      typ: JOB_TYPE,
      kid: job.workerId,
    })
    .encrypt(key);
}

/**
 * Opens a job. Throws `HoldfastError` code `JobRefused` when it is sealed to another key, names
 * another worker, has expired, or is of a shape or version that this worker does not know.
 */
export async function openJob(
  sealed: string,
  options: { readonly privateKey: CryptoKey; readonly workerId: string; readonly now: Date },
): Promise<Job> {
  let plaintext: Uint8Array;
  try {
    const opened = await compactDecrypt(sealed, options.privateKey, {
      keyManagementAlgorithms: [ALGORITHM],
      contentEncryptionAlgorithms: [CONTENT_ENCRYPTION],
    });
    if (opened.protectedHeader.typ !== JOB_TYPE) throw new Error("not a job");
    plaintext = opened.plaintext;
  } catch (error) {
    throw refused("it is not sealed to this worker's key", error);
  }
  const parsed = jobSchema.safeParse(JSON.parse(new TextDecoder().decode(plaintext)));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw refused(`its field ${issue?.path.join(".") ?? ""} is wrong: ${issue?.message ?? ""}`);
  }
  const job = parsed.data;
  if (job.workerId !== options.workerId) throw refused(`it is meant for worker ${job.workerId}`);
  if (Date.parse(job.expiresAt) <= options.now.getTime())
    throw refused(`it expired at ${job.expiresAt}`);
  return job;
}

function refused(why: string, cause?: unknown): HoldfastError {
  return new HoldfastError("JobRefused", `A job was refused: ${why}.`, { cause });
}
