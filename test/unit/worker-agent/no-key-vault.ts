import type { KeyWrapper } from "#core/ports/key-wrapper.ts";

async function refuse(): Promise<never> {
  throw new Error("this test has no key vault");
}

/** For jobs on repositories that need none. */
export const noKeyVault: KeyWrapper = { wrap: refuse, unwrap: refuse };
