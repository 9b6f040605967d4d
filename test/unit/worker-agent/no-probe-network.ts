import type { ProbeNetwork } from "#core/ports/probe-network.ts";

const refuse = (): never => {
  throw new Error("this job does not probe");
};

/** For jobs that are no doctor. */
export const noProbeNetwork: ProbeNetwork = {
  resolve: refuse,
  connect: refuse,
  readToken: refuse,
};
