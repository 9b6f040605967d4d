import { HoldfastError } from "./errors.ts";

/** Stops on a bug of ours (never on bad input). Assertions stay on in production. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new HoldfastError("Bug", `Internal error: ${message}. Please report it.`);
}

/** For the `default` of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new HoldfastError(
    "Bug",
    `Internal error: unexpected ${JSON.stringify(value)}. Please report it.`,
  );
}
