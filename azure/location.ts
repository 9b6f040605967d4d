/** `West Europe` and `westeurope` are the same place. */
export function normalLocation(location: string): string {
  return location.replaceAll(" ", "").toLowerCase();
}
