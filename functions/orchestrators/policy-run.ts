/**
 * Runs a policy's slot: a sliding window over its VMs. Each lane of the window takes the next VM from
 * a shared work list when it is done with one, so that a slow VM holds up no other.
 */
import type { OrchestrationContext } from "durable-functions";
import { failureOf, succeed, type Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import { backupSessionId, slotKey } from "#core/model/session.ts";
import type { BackupVmInput, SessionEnd } from "./backup-vm.ts";
import { ENTITIES, ORCHESTRATORS, SESSION_OVER } from "./names.ts";
import { askEntity, attempt, callChild, createRun, log, must, step } from "./steps.ts";
import type { Run, Steps } from "./steps.ts";

export interface PolicyRunInput {
  readonly sessionId: string;
  readonly policyId: string;
  /** ISO time of the slot. */
  readonly slot: string;
  readonly settings: RunSettings;
}

export interface PolicyLaneInput extends PolicyRunInput {
  readonly lane: number;
  readonly count: number;
}

export interface Counts {
  readonly succeeded: number;
  readonly warning: number;
  readonly failed: number;
  readonly skipped: number;
}
const NOTHING: Counts = { succeeded: 0, warning: 0, failed: 0, skipped: 0 };

export function* policyRun(context: OrchestrationContext): Steps<Outcome<SessionEnd>> {
  const input = context.df.getInput<PolicyRunInput>();
  const { sessionId, policyId, slot } = input;
  const run = createRun(context, input.settings, sessionId);
  try {
    const { count, maxConcurrentVms } = yield* step(run, "choose-vms", {
      sessionId,
      policyId,
      slot,
    });
    yield* log(run, "info", `the policy covers ${count} VMs, ${maxConcurrentVms} at a time`);
    const counts = yield* runLanes(run, input, count, Math.min(count, maxConcurrentVms));
    const end = endOf(counts, count);
    yield* attempt(run, "close-session", { sessionId, counts, ...end });
    return succeed({ sessionId, state: end.state });
  } catch (error) {
    const { code, message } = failureOf(error).error;
    yield* log(run, "error", message);
    const end = { state: "failed", reason: message, errorCode: code } as const;
    yield* attempt(run, "close-session", { sessionId, ...end });
    return succeed({ sessionId, state: "failed" });
  }
}

function* runLanes(
  run: Run,
  input: PolicyRunInput,
  count: number,
  laneCount: number,
): Steps<Counts> {
  if (laneCount === 0) return NOTHING;
  const { df } = run.context;
  const lanes = Array.from({ length: laneCount }, (_, lane) => {
    const child: PolicyLaneInput = { ...input, lane, count };
    const instanceId = `lane-${input.sessionId}-${lane}`;
    return df.callSubOrchestrator(ORCHESTRATORS.policyLane, child, instanceId);
  });
  // Lanes answer outcomes and never throw, so that this waits for all of them.
  const answers: unknown = yield df.Task.all(lanes);
  yield* askEntity(run, ENTITIES.workList, input.sessionId, "clear", {});
  return (answers as Outcome<Counts>[]).map(must).reduce(add, NOTHING);
}

function add(left: Counts, right: Counts): Counts {
  return {
    succeeded: left.succeeded + right.succeeded,
    warning: left.warning + right.warning,
    failed: left.failed + right.failed,
    skipped: left.skipped + right.skipped,
  };
}

function endOf(
  counts: Counts,
  count: number,
): { state: "succeeded" | "warning" | "failed"; reason?: string } {
  if (count === 0) return { state: "warning", reason: "the policy covers no VM" };
  const { succeeded, warning, failed, skipped } = counts;
  if (failed + warning + skipped === 0) return { state: "succeeded" };
  const reason = `of ${count} VMs ${succeeded} succeeded, ${warning} have warnings, ${failed} failed, ${skipped} were skipped`;
  return { state: failed === count ? "failed" : "warning", reason };
}

/** One lane: backs up one VM after the other until none is left. */
export function* policyLane(context: OrchestrationContext): Steps<Outcome<Counts>> {
  const input = context.df.getInput<PolicyLaneInput>();
  const run = createRun(context, input.settings);
  let counts = NOTHING;
  for (let turn = 0; turn <= input.count; turn++) {
    const taken = yield* askEntity<{ index: number | null }>(
      run,
      ENTITIES.workList,
      input.sessionId,
      "take",
      { lane: input.lane, turn, count: input.count },
    );
    if (!taken.ok) return taken;
    const { index } = taken.value;
    if (index === null) break;
    const state = yield* backUpTarget(run, input, index);
    if (state === "over") {
      // The run was terminated: it starts nothing more, and nobody else clears its list.
      yield* askEntity(run, ENTITIES.workList, input.sessionId, "clear", {});
      break;
    }
    counts = add(counts, { ...NOTHING, [state]: 1 });
  }
  return succeed(counts);
}

function* backUpTarget(
  run: Run,
  input: PolicyLaneInput,
  index: number,
): Steps<SessionEnd["state"] | "over"> {
  const { sessionId: parentSessionId, policyId, settings } = input;
  const target = yield* attempt(run, "read-policy-target", { sessionId: parentSessionId, index });
  if (!target.ok) return target.error.code === SESSION_OVER ? "over" : "failed";
  const slot = slotKey(new Date(input.slot));
  const sessionId = backupSessionId(target.value.vmId, slot, policyId);
  const child: BackupVmInput = {
    ...target.value,
    sessionId,
    parentSessionId,
    policyId,
    trigger: "schedule",
    forceFull: false,
    settings,
  };
  const ended = yield* callChild<SessionEnd>(run, ORCHESTRATORS.backupVm, child, sessionId);
  return ended.ok ? ended.value.state : "failed";
}
