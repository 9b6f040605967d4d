import { isDiskServiceError } from "#local/disks/disk-service.ts";
import { ArmError } from "../arm-error.ts";

/** Runs a call on the disk service; what it refuses becomes Resource Manager's answer. */
export async function callDisks<Result>(call: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    if (isDiskServiceError(error)) throw new ArmError(error.statusCode, error.code, error.message);
    throw error;
  }
}
