/** What the data plane refuses, with the HTTP status and code of the Blob service. */
export class StorageError extends Error {
  override readonly name = "StorageError";
  readonly statusCode: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    statusCode: number,
    code: string,
    message: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.statusCode = statusCode;
    this.code = code;
    this.headers = headers;
  }
}

export function authenticationFailed(detail: string): StorageError {
  return new StorageError(
    403,
    "AuthenticationFailed",
    "Server failed to authenticate the request. Make sure the value of Authorization header is " +
      `formed correctly including the signature. ${detail}`,
  );
}

export function invalidHeader(name: string, value: string | undefined): StorageError {
  return new StorageError(
    400,
    "InvalidHeaderValue",
    `The value for one of the HTTP headers is not in the correct format: ${name}: ${value}.`,
  );
}

export function missingHeader(name: string): StorageError {
  return new StorageError(
    400,
    "MissingRequiredHeader",
    `An HTTP header that's mandatory for this request is not specified: ${name}.`,
  );
}
