/**
 * The messages between the Functions host and its Node worker, as far as they are used here
 * (`FunctionRpc.proto` of azure-functions-language-worker-protobuf).
 */
export interface NullableValue {
  readonly value?: string;
}

export interface RpcHttpRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly nullableHeaders: Readonly<Record<string, NullableValue>>;
  readonly query: Readonly<Record<string, string>>;
  readonly nullableQuery: Readonly<Record<string, NullableValue>>;
  readonly params: Readonly<Record<string, string>>;
  readonly nullableParams: Readonly<Record<string, NullableValue>>;
  readonly body?: { readonly bytes: Uint8Array };
}

export interface RpcHttpCookie {
  readonly name: string;
  readonly value: string;
  readonly domain?: NullableValue | null;
  readonly path?: NullableValue | null;
  readonly expires?: { readonly value?: unknown } | null;
  readonly secure?: { readonly value?: boolean } | null;
  readonly httpOnly?: { readonly value?: boolean } | null;
  readonly sameSite?: string | number | null;
  readonly maxAge?: { readonly value?: number } | null;
}

export interface RpcHttpResponse {
  readonly statusCode?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cookies?: readonly RpcHttpCookie[];
  readonly body?: { readonly bytes?: Uint8Array; readonly string?: string } | null;
}

/** One value; at most one field is set, none means undefined. */
export interface RpcTypedData {
  readonly string?: string | null;
  readonly json?: string | null;
  readonly bytes?: Uint8Array | null;
  readonly int?: number | null;
  readonly double?: number | null;
  readonly http?: RpcHttpRequest | RpcHttpResponse | null;
}

export interface RpcParameter {
  readonly name: string;
  readonly data: RpcTypedData;
}

export interface Binding {
  readonly type: string;
  readonly direction: string;
  readonly [setting: string]: unknown;
}

export interface RegisteredFunction {
  readonly name: string;
  readonly functionId: string;
  readonly bindings: Readonly<Record<string, Binding>>;
  /** The one binding whose type ends in `Trigger`. */
  readonly trigger: Binding;
  readonly triggerName: string;
  readonly hasRetryOptions: boolean;
  readonly callback: unknown;
}

export interface InvocationOutput {
  readonly returnValue: RpcTypedData | undefined;
  readonly outputData: readonly RpcParameter[];
}

/** The app's function threw. The host of the real product sees the message as text only. */
export class FunctionException extends Error {
  override readonly name = "FunctionException";
  readonly remoteMessage: string;
  readonly remoteStack: string;

  constructor(remoteMessage: string, remoteStack: string) {
    super(`Result: Failure\nException: ${remoteMessage}\nStack: ${remoteStack}`);
    this.remoteMessage = remoteMessage;
    this.remoteStack = remoteStack;
  }
}
