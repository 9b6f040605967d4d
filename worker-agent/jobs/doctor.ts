/**
 * The doctor: all probes at the same time, each with its own deadline, so that the job ends within
 * seconds whatever the network does. A probe that fails is a result, not an error of the job.
 */
import type { ProbeQuestion } from "#core/ports/probe-network.ts";
import type { DoctorResult, Probe, ProbeResult } from "#core/model/doctor.ts";
import type { DoctorJob } from "#core/protocol/job.ts";
import type { JobTools } from "./job-tools.ts";
import { isPrivateAddress, verdictOfAnswer, verdictOfError } from "./probe-codes.ts";
import type { ProbeStep, Verdict } from "./probe-codes.ts";

const HTTPS_PORT = 443;
/** Queues and blobs with tokens; the disk data plane knows it too. */
const STORAGE_VERSION = "2020-10-02";

type DoctorTools = Pick<JobTools, "probeNetwork" | "clock">;

export async function runDoctor(
  tools: DoctorTools,
  job: DoctorJob,
  signal: AbortSignal,
): Promise<DoctorResult> {
  const { clock } = tools;
  const probes = await Promise.all(
    job.probes.map(async (probe) => {
      const startedMs = clock.now().getTime();
      const outcome = await carryOut(tools, probe, job.probeSeconds * 1000, signal);
      const durationMs = Math.max(0, clock.now().getTime() - startedMs);
      return resultOf(probe, outcome, durationMs);
    }),
  );
  signal.throwIfAborted();
  return { kind: "doctor", probes };
}

/** What a probe has seen when it ends, at whatever step. */
interface Seen extends Verdict {
  readonly aliases: readonly string[];
  readonly address?: string;
}

async function carryOut(
  { probeNetwork: network, clock }: DoctorTools,
  probe: Probe,
  timeoutMs: number,
  stop: AbortSignal,
): Promise<Seen> {
  const url = new URL(probe.url);
  const late = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([stop, late]);
  let step: ProbeStep = "resolve";
  let found: { aliases: readonly string[]; address?: string } = { aliases: [] };
  try {
    const { aliases, address } = await network.resolve(url.hostname, signal);
    found = { aliases, address };
    if (!isPrivateAddress(address)) {
      const message = `the name leads to the public address ${address}`;
      return { ...found, code: "PublicAddress", message };
    }
    step = "connect";
    const port = url.port === "" ? HTTPS_PORT : Number(url.port);
    using connection = await network.connect(address, port, signal);
    step = "secure";
    await connection.secure(url.hostname, signal);
    if (probe.kind === "event-queue") return { ...found, code: "Ok", message: "answers" };
    step = "token";
    const audience = audienceOf(probe);
    const token = audience && (await network.readToken({ audience, host: url.hostname }, signal));
    step = "ask";
    const question = questionOf(probe, url, { now: clock.now(), token });
    const carried = { sas: carriesSas(probe), token: token !== undefined };
    return { ...found, ...verdictOfAnswer(await connection.ask(question, signal), carried) };
  } catch (error) {
    return { ...found, ...verdictOfError(step, error, late.aborted) };
  }
}

function audienceOf(probe: Probe): "storage" | "disks" | undefined {
  if (!carriesSas(probe)) return "storage";
  return probe.kind === "disk" && probe.needsToken === true ? "disks" : undefined;
}

function carriesSas({ kind }: Probe): boolean {
  return kind === "staging-blob" || kind === "disk";
}

/** One small question of each kind; none changes anything. */
function questionOf(
  { kind }: Probe,
  url: URL,
  { now, token }: { readonly now: Date; readonly token: string | undefined },
): ProbeQuestion {
  const headers = {
    "x-ms-version": STORAGE_VERSION,
    "x-ms-date": now.toUTCString(),
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  const { host, pathname, search } = url;
  switch (kind) {
    case "job-queue":
    case "event-queue":
      // Not a peek, which needs a right that the worker's role lacks; a message comes back at once.
      return {
        method: "GET",
        host,
        path: `${pathname}/messages?numofmessages=1&visibilitytimeout=1`,
        headers,
      };
    case "repository": {
      const path = `${pathname}?restype=container&comp=list&maxresults=1`;
      return { method: "GET", host, path, headers };
    }
    case "staging-blob":
    case "disk":
      return { method: "HEAD", host, path: `${pathname}${search}`, headers };
  }
}

function resultOf(probe: Probe, seen: Seen, durationMs: number): ProbeResult {
  const { name, kind, targetId } = probe;
  const { aliases, address, code, message } = seen;
  return {
    name,
    kind,
    host: new URL(probe.url).host,
    ...(targetId === undefined ? {} : { targetId }),
    ok: code === "Ok",
    aliases: [...aliases],
    ...(address === undefined ? {} : { address }),
    durationMs,
    code,
    message,
  };
}
