import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { HoldfastError } from "../lib/errors.ts";
import {
  signedEventSchema,
  workerEventSchema,
  type SignedEvent,
  type WorkerEvent,
} from "./worker-event.ts";

/**
 * The secret that lets one worker speak, and enrol once. The control plane derives it from its master
 * key when it launches the worker and again when it checks an event, so that it is stored nowhere.
 *
 * @param masterKey 32 bytes, known to the control plane only
 * @param generation counts the starts of the worker: a VM that is started again gets another secret
 * @returns 32 bytes; travels to the worker in protected Run Command parameters, base64url
 */
export function deriveWorkerSecret(
  masterKey: Uint8Array,
  workerId: string,
  generation = 1,
): Uint8Array {
  const label = `holdfast worker secret 1 ${workerId}${generation === 1 ? "" : ` ${generation}`}`;
  return new Uint8Array(hkdfSync("sha256", masterKey, new Uint8Array(0), label, 32));
}

/** The worker that a message claims to come from, before anything of it is believed. */
export function claimedWorkerOf(message: unknown): string | undefined {
  const signed = signedEventSchema.safeParse(message);
  if (!signed.success) return undefined;
  try {
    const claim: unknown = JSON.parse(signed.data.event);
    return workerEventSchema.pick({ workerId: true }).safeParse(claim).data?.workerId;
  } catch {
    return undefined;
  }
}

/** Signs an event with the worker's secret. */
export function signEvent(event: WorkerEvent, workerSecret: Uint8Array): SignedEvent {
  const text = JSON.stringify(event);
  return { event: text, mac: macOf(text, workerSecret).toString("base64url") };
}

/**
 * Reads a message of the event queue.
 * Throws `HoldfastError` with code `ForgedEvent` when the MAC does not match the worker that the
 * event names, `InvalidEvent` when it is not an event of a version that is known.
 */
export function verifyEvent(
  message: unknown,
  secretOf: (workerId: string) => Uint8Array,
): WorkerEvent {
  const signed = signedEventSchema.safeParse(message);
  if (!signed.success) throw invalidEvent("it is not a signed event");
  let json: unknown;
  try {
    json = JSON.parse(signed.data.event);
  } catch (error) {
    throw invalidEvent("its text is not JSON", error);
  }
  const event = workerEventSchema.safeParse(json);
  if (!event.success) throw invalidEvent(event.error.issues[0]?.message ?? "unknown shape");
  const expected = macOf(signed.data.event, secretOf(event.data.workerId));
  const given = Buffer.from(signed.data.mac, "base64url");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw new HoldfastError(
      "ForgedEvent",
      `An event that claims to come from worker ${event.data.workerId} has a wrong signature. It was dropped; check who may write to the event queue.`,
      { context: { workerId: event.data.workerId } },
    );
  }
  return event.data;
}

function macOf(text: string, secret: Uint8Array): Buffer {
  return createHmac("sha256", secret).update(text, "utf8").digest();
}

function invalidEvent(why: string, cause?: unknown): HoldfastError {
  return new HoldfastError("InvalidEvent", `A message of the event queue was dropped: ${why}.`, {
    cause,
  });
}
