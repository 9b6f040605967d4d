import { expect } from "vitest";
import { z } from "zod";
import { shownSessionSchema, type ShownSession } from "#local/demo/sessions.ts";
import { findPiece, takeAway, type Piece } from "./removable-pieces.ts";
import type { TestStack } from "./test-stack.ts";

/** How the private network of a test is broken, and what the doctor must say to it. */
export const region = "northeurope";
/** Every session that meets a broken network is over by then. */
const jobDeadlineSeconds = 180;
export const networkSettings = {
  // One worker for most looks of the doctor.
  HOLDFAST_WORKER_IDLE_SECONDS: "25",
  HOLDFAST_WORKER_LOST_SECONDS: "8",
  HOLDFAST_JOB_DEADLINE_SECONDS: String(jobDeadlineSeconds),
  HOLDFAST_UNCHANGED_SAMPLE_BLOCKS: "0",
};
export const breakTimeoutMs = 300_000;
const pollMs = 1000;
const answerSchema = z.object({ sessionId: z.string() });
const reportSchema = z.object({
  ok: z.boolean(),
  findings: z.array(z.object({ what: z.string(), resourceId: z.string().optional() })),
});

/** Waits for the end of a session, however it ends. */
export async function waitForAnyEnd(running: TestStack, sessionId: string): Promise<ShownSession> {
  for (;;) {
    const path = `/sessions/${sessionId}`;
    const session = await running.api.call("GET", path, { answer: shownSessionSchema });
    if (session.state !== "running") return session;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Has the doctor look; answers what it says, and how its session ended. */
async function examine(running: TestStack) {
  const path = `/regions/${region}/doctor`;
  const { sessionId } = await running.api.call("POST", path, { answer: answerSchema });
  const session = await waitForAnyEnd(running, sessionId);
  return { session, report: await running.api.call("GET", path, { answer: reportSchema }) };
}

/** The session failed in time, with a text that names the resource. */
export function expectFailure(session: ShownSession, id: string): void {
  expect(session.state).toBe("failed");
  expect(session.reason).toContain(id.slice(id.lastIndexOf("/") + 1));
  const tookMs = Date.parse(session.endedAt ?? "") - Date.parse(session.startedAt);
  expect(tookMs).toBeLessThan(jobDeadlineSeconds * 1000);
}

/** The doctor and its session name this resource, and nothing else. */
export async function expectNamed(running: TestStack, id: string): Promise<void> {
  const { session, report } = await examine(running);
  expect(report.findings.map(({ resourceId }) => resourceId?.toLowerCase())).toEqual([
    id.toLowerCase(),
  ]);
  expectFailure(session, id);
  expect(session.reason).toContain(report.findings[0]?.what);
}

export async function expectHealthy(running: TestStack): Promise<void> {
  const { session, report } = await examine(running);
  expect(report).toEqual({ ok: true, findings: [] });
  expect(session.state).toBe("succeeded");
}

/** Without the piece the doctor names exactly that; with it back, the next look succeeds. */
export async function breakAndMend(running: TestStack, piece: Piece): Promise<void> {
  const id = findPiece(running.stack, piece);
  const putBack = await takeAway(running.stack, id);
  try {
    await expectNamed(running, id);
  } finally {
    await putBack();
  }
  // Also so that a worker is there before the next piece goes: without it none might come up.
  await expectHealthy(running);
}
