/**
 * The steps of a probe, one by one, so that each failure has its own cause. Implemented in
 * `azure/storage` over the machine's own resolver, TCP and TLS: what a probe passes, the SDKs pass.
 * Every step throws the system's error (`code` as Node gives it) and stops when the signal aborts.
 */
export interface ProbeNetwork {
  /** As the SDKs look names up. `aliases` is what a name server says beside it; may be empty. */
  resolve(
    host: string,
    signal: AbortSignal,
  ): Promise<{ readonly aliases: readonly string[]; readonly address: string }>;
  connect(address: string, port: number, signal: AbortSignal): Promise<ProbeConnection>;
  /**
   * Token of the worker's identity that `host` is to see: for storage, or for managed disks that ask
   * for one. Throws for a host that is none of managed disks.
   */
  readToken(
    wanted: { readonly audience: "storage" | "disks"; readonly host: string },
    signal: AbortSignal,
  ): Promise<string>;
}

export interface ProbeConnection extends Disposable {
  /** TLS with the certificate of `host`, checked against the machine's authorities. */
  secure(host: string, signal: AbortSignal): Promise<void>;
  ask(question: ProbeQuestion, signal: AbortSignal): Promise<ProbeAnswer>;
}

export interface ProbeQuestion {
  readonly method: "GET" | "HEAD";
  readonly host: string;
  /** Path with query; may hold a SAS. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface ProbeAnswer {
  readonly status: number;
  /** `x-ms-error-code`, empty where the service gives none. */
  readonly errorCode: string;
}
