/**
 * Pieces of the private network without which workers cannot report, or do not come up at all: the
 * doctor names each of them all the same. The Functions host has a storage account of its own: without
 * it the way to the queue of events carries the host too. Needs root and iproute2.
 */
import { afterAll, afterEach, beforeAll, test } from "vitest";
import { z } from "zod";
import {
  breakAndMend,
  breakTimeoutMs,
  expectHealthy,
  networkSettings,
  region,
} from "../e2e/network-doctor.ts";
import { eventQueuePieces, silencingPieces } from "../e2e/removable-pieces.ts";
import { startTestStack, waitForSuccess, type TestStack } from "../e2e/test-stack.ts";

const stackTimeoutMs = 300_000;

let running: TestStack;

beforeAll(async () => {
  running = await startTestStack(networkSettings, "namespaces", { hasHostAccount: true });
  const { sessionId } = await running.api.call("POST", `/regions/${region}/prepare`, {
    answer: z.object({ sessionId: z.string() }),
  });
  await waitForSuccess(running, sessionId);
  // A worker that is up, so that the first piece is taken from under it.
  await expectHealthy(running);
}, stackTimeoutMs);

afterAll(async () => {
  await running?.stop();
}, stackTimeoutMs);

afterEach(() => running.checkEstate());

test.each([...silencingPieces, ...eventQueuePieces])(
  "without $name the doctor and its session name exactly that",
  { timeout: breakTimeoutMs },
  (piece) => breakAndMend(running, piece),
);
