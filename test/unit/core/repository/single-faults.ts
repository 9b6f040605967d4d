import type { StoreFault } from "#core/repository/testing/dying-store.ts";

/** The four kinds of a single fault; each test strikes with them at every operation. */
export const SINGLE_FAULTS: readonly (Omit<StoreFault, "at"> & { readonly kind: string })[] = [
  { kind: "a crash before", after: false, aftermath: "dies" },
  { kind: "a crash after", after: true, aftermath: "dies" },
  { kind: "one failure before", after: false, aftermath: "goes on" },
  { kind: "one lost answer after", after: true, aftermath: "goes on" },
];
