import type { JsonValue } from "./json.ts";
import type { Method } from "./provider.ts";

/** A request past the HTTP layer. */
export interface ArmRequest {
  readonly method: Method;
  /** Percent-decoded, without a trailing slash. */
  readonly path: string;
  /** Names in lower case. */
  readonly query: ReadonlyMap<string, string>;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Undefined when the request has none. */
  readonly body: JsonValue | undefined;
  /** `https://127.0.0.1:1234`. */
  readonly origin: string;
}

export interface ArmResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: JsonValue;
}

/** What observers learn about each request, also about refused ones. */
interface RequestRecord {
  readonly at: Date;
  readonly method: string;
  readonly path: string;
  readonly apiVersion: string | undefined;
  /** RBAC action that the request needed, e.g. `Microsoft.Compute/disks/write`. */
  readonly action: string | undefined;
  /** Linked actions that it needed too. */
  readonly linkedActions: readonly string[];
  /** Scope at which the action was checked. */
  readonly scope: string | undefined;
  readonly principalId: string | undefined;
  readonly status: number;
  readonly errorCode: string | undefined;
  readonly requestBody: JsonValue | undefined;
  readonly responseBody: JsonValue | undefined;
}

export type RequestObserver = (record: RequestRecord) => void;
