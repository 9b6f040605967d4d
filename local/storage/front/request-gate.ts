import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { accountOf } from "./network-gate.ts";

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

/** Throttling on demand: answers requests to the blob service in place of Azurite. */
export class RequestGate {
  readonly #busy = new Map<string, number>();

  /** The next `requestCount` requests to the account are answered 503 `ServerBusy`. */
  makeBusy(account: string, requestCount: number): void {
    this.#busy.set(account, requestCount);
  }

  before(listener: Listener): Listener {
    return (request, response) => {
      const account = accountOf(request);
      const left = this.#busy.get(account) ?? 0;
      if (left === 0) {
        listener(request, response);
        return;
      }
      this.#busy.set(account, left - 1);
      answerBusy(request, response);
    };
  }
}

/** Source: learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes. */
function answerBusy(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  const requestId = randomUUID();
  response.writeHead(503, {
    "content-type": "application/xml",
    "x-ms-error-code": "ServerBusy",
    "x-ms-request-id": requestId,
  });
  const message =
    "The server is currently unable to receive requests. Please retry your request.\n" +
    `RequestId:${requestId}\nTime:${new Date().toISOString()}`;
  const xml = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Error><Code>ServerBusy</Code><Message>${message}</Message></Error>`;
  response.end(request.method === "HEAD" ? undefined : xml);
}
