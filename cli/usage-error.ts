/** Wrong use of the command line; shown with a hint, exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
