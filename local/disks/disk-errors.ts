/** What the simulated Azure refuses, with the code and HTTP status that Azure answers (see docs/local-azure.md). */
export class DiskServiceError extends Error {
  override readonly name = "DiskServiceError";
  /** Azure's error code, e.g. `OperationNotAllowed`. */
  readonly code: string;
  readonly statusCode: number;

  constructor(statusCode: number, code: string, message: string) {
    super(message);
    this.statusCode = statusCode;
    this.code = code;
  }
}

export function notFound(kind: "disk" | "snapshot", id: string): DiskServiceError {
  return new DiskServiceError(404, "ResourceNotFound", `The ${kind} '${id}' was not found.`);
}

export function invalidParameter(message: string): DiskServiceError {
  return new DiskServiceError(400, "InvalidParameter", message);
}

export function conflict(message: string): DiskServiceError {
  return new DiskServiceError(409, "Conflict", message);
}

export function notAllowed(message: string): DiskServiceError {
  return new DiskServiceError(409, "OperationNotAllowed", message);
}

/** @param purpose e.g. `deleting the disk` */
export function activeSas(kind: "disk" | "snapshot", id: string, purpose: string) {
  return notAllowed(
    `There is an active shared access signature outstanding for ${kind} ${id}. ` +
      `Call EndGetAccess before ${purpose}.`,
  );
}
