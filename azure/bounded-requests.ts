/**
 * Bounds of one request to Resource Manager. An activity must end within minutes, whatever the far
 * end does: a connection that says nothing is given up, and a long `Retry-After` is not slept through
 * inside the SDK but told to the orchestrator, which waits with durable timers.
 */
import type { ComputeManagementClientOptionalParams } from "@azure/arm-compute";
import { HoldfastError } from "#core/lib/errors.ts";

type AdditionalPolicy = NonNullable<
  ComputeManagementClientOptionalParams["additionalPolicies"]
>[number];
type PipelinePolicy = AdditionalPolicy["policy"];
type Response = Awaited<ReturnType<PipelinePolicy["sendRequest"]>>;

/** Resource Manager answers or accepts within seconds; work goes on after its answer. */
const ANSWER_MS_MAX = 60_000;
/** Longest wait that the SDK does by itself before it tries again. */
const WAIT_SECONDS_MAX = 20;
/** Where a wait that is left to the caller is kept: the SDK does not know this name. */
const LEFT_WAIT_HEADER = "x-holdfast-retry-after-seconds";

/** For `additionalPolicies` of an SDK client: runs for each try. */
export function boundedRequests(answerMsMax: number = ANSWER_MS_MAX): AdditionalPolicy {
  const policy: PipelinePolicy = {
    name: "holdfast-bounded-requests",
    async sendRequest(request, next) {
      request.timeout = answerMsMax;
      try {
        const response = await next(request);
        leaveLongWait(response);
        return response;
      } catch (error) {
        const isAbort = error instanceof Error && error.name === "AbortError";
        if (!isAbort || request.abortSignal?.aborted === true) throw error;
        throw new HoldfastError(
          "RequestTimedOut",
          `${request.method} ${new URL(request.url).pathname} had no answer within ${answerMsMax / 1000} seconds.`,
          { retry: "backoff" },
        );
      }
    },
  };
  return { policy, position: "perRetry" };
}

/** How long Azure asks to wait before the request that failed with this error is sent again. */
export function leftWaitSecondsOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("response" in error)) return undefined;
  const seconds = Number((error.response as Partial<Response>)?.headers?.get(LEFT_WAIT_HEADER));
  return seconds > 0 ? seconds : undefined;
}

function leaveLongWait({ status, headers }: Response): void {
  if (status !== 429 && status !== 503) return;
  const seconds = Number(headers.get("retry-after"));
  if (!(seconds > WAIT_SECONDS_MAX)) return;
  for (const name of ["retry-after-ms", "x-ms-retry-after-ms", "retry-after"]) headers.delete(name);
  headers.set(LEFT_WAIT_HEADER, String(seconds));
}
