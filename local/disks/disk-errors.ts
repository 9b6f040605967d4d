/** What the simulated Azure refuses, with the code and HTTP status that Azure answers. */
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
