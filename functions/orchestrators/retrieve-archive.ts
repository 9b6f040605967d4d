/**
 * Retrieves an archive's disks to an online tier. That takes hours: a worker starts the copies, and
 * later asks how far they are; between two looks there is only a timer. Afterwards it watches the
 * window in which the copies can be read, and says in the log when that is about to end.
 */
import type { OrchestrationContext } from "durable-functions";
import { HoldfastError } from "#core/lib/errors.ts";
import type { Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import type { SessionEnd } from "./backup-vm.ts";
import { closing, runJob, type Ending } from "./session-run.ts";
import { attempt, createRun, log, nowOf, step, wait, type Run, type Steps } from "./steps.ts";

export interface RetrieveArchiveInput {
  /** Its session names the retrieval. */
  readonly sessionId: string;
  readonly retrievalId: string;
  readonly settings: RunSettings;
}

/** Azure's longest answer is fifteen hours; what is not there after so long does not come. */
const RETRIEVAL_SECONDS_MAX = 5 * 24 * 3600;
const DAY_MS = 24 * 3600 * 1000;
/** So long before the window's end it is told. */
const NOTICE_MS = DAY_MS;
/** A window lasts at most so many days in all. */
const LOOKS_MAX = 800;

export function* retrieveArchive(context: OrchestrationContext): Steps<Outcome<SessionEnd>> {
  const { sessionId, retrievalId, settings } = context.df.getInput<RetrieveArchiveInput>();
  const run = createRun(context, settings, sessionId);
  const ended = yield* closing(run, sessionId, () => retrieve(run, sessionId));
  if (ended.ok && ended.value.state === "succeeded") yield* watchWindow(run, retrievalId);
  return ended;
}

function* retrieve(run: Run, sessionId: string): Steps<Ending> {
  const deadline = nowOf(run) + RETRIEVAL_SECONDS_MAX * 1000;
  for (let round = 0; ; round++) {
    const { jobId, location, lookSeconds } = yield* step(run, "plan-retrieval", {
      sessionId,
      round,
    });
    yield* runJob(run, { jobId, sessionId, location });
    const { objectCount, pendingObjects, windowEndsAt } = yield* step(run, "index-retrieval", {
      sessionId,
      jobId,
    });
    if (pendingObjects === 0) {
      yield* log(run, "info", `all ${objectCount} objects can be read until ${windowEndsAt ?? ""}`);
      return { state: "succeeded" };
    }
    yield* log(run, "info", `${pendingObjects} of ${objectCount} objects are on their way`);
    if (nowOf(run) >= deadline)
      throw new HoldfastError(
        "TimedOut",
        `${pendingObjects} of ${objectCount} objects were not retrieved in five days.`,
      );
    yield* wait(run, lookSeconds);
  }
}

/** Ends when the window does. Extending it moves the end; each end is told once. */
function* watchWindow(run: Run, retrievalId: string): Steps<void> {
  let told = "";
  for (let looks = 0; looks < LOOKS_MAX; looks++) {
    const answer = yield* attempt(run, "read-retrieval", { retrievalId });
    if (!answer.ok || answer.value.windowEndsAt === null) return;
    const { windowEndsAt } = answer.value;
    const leftMs = Date.parse(windowEndsAt) - nowOf(run);
    if (leftMs <= 0) {
      yield* log(run, "info", "the window is over: maintenance deletes the copies");
      return;
    }
    if (leftMs <= NOTICE_MS && told !== windowEndsAt) {
      told = windowEndsAt;
      yield* log(run, "warning", `the copies go at ${windowEndsAt} unless the window is extended`);
    }
    const untilNotice = leftMs > NOTICE_MS ? leftMs - NOTICE_MS : leftMs;
    yield* wait(run, Math.min(untilNotice, DAY_MS) / 1000);
  }
}
