import type { ProbeAnswer } from "#core/ports/probe-network.ts";
import type { ProbeCode } from "#core/model/doctor.ts";

/** What the failure of a probe means, told from the step that it came to and the error or answer. */
export type ProbeStep = "resolve" | "connect" | "secure" | "token" | "ask";

export interface Verdict {
  readonly code: ProbeCode;
  readonly message: string;
}

/** Verdict on an error of a step; `isLate`: the probe's time was over. */
export function verdictOfError(step: ProbeStep, error: unknown, isLate: boolean): Verdict {
  const systemCode = systemCodeOf(error);
  const detail = systemCode === "" ? "" : ` (${systemCode})`;
  switch (step) {
    case "resolve":
      if (systemCode === "ENOTFOUND" || systemCode === "ENODATA")
        return { code: "NoSuchName", message: `the name does not exist${detail}` };
      return { code: "NameServerSilent", message: `the name server did not answer${detail}` };
    case "connect":
      if (isLate || systemCode === "ETIMEDOUT")
        return { code: "ConnectTimedOut", message: "nothing answered at the address" };
      if (systemCode === "ECONNREFUSED")
        return { code: "ConnectRefused", message: `the address refused the connection${detail}` };
      return { code: "NoRoute", message: `the machine has no way to the address${detail}` };
    case "secure":
      return verdictOnTls(systemCode, detail, isLate);
    case "token":
      return { code: "TokenMissing", message: `the worker's identity got no token${detail}` };
    case "ask":
      if (isLate) return { code: "TooSlow", message: "no answer in time" };
      return { code: "ConnectionCut", message: `the connection was cut${detail}` };
  }
}

function verdictOnTls(systemCode: string, detail: string, isLate: boolean): Verdict {
  if (systemCode === "ERR_TLS_CERT_ALTNAME_INVALID")
    return { code: "ForeignCertificate", message: `the certificate is of another host${detail}` };
  if (/CERT|SIGNATURE|ISSUER|CRL/.test(systemCode))
    return { code: "UntrustedCertificate", message: `the certificate is not trusted${detail}` };
  const what = isLate ? "TLS was not answered in time" : "the connection was cut during TLS";
  return { code: "ConnectionCut", message: `${what}${detail}` };
}

/**
 * Verdict on an answer. Codes: learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes.
 *
 * @param carried whether the question carried a SAS, a token of the worker's identity, or both
 */
export function verdictOfAnswer(
  { status, errorCode }: ProbeAnswer,
  carried: { readonly sas: boolean; readonly token: boolean },
): Verdict {
  const detail = `${status}${errorCode === "" ? "" : ` ${errorCode}`}`;
  if (status >= 200 && status < 300) return { code: "Ok", message: "answers" };
  if (status === 403 && errorCode === "AuthorizationFailure")
    return {
      code: "NetworkRefused",
      message: `the service's network rules refused it (${detail})`,
    };
  // With both, these are about the identity: its token, and its right on the snapshot.
  const isIdentity = status === 401 || errorCode === "AuthorizationPermissionMismatch";
  const isOfSas = carried.sas && !(carried.token && isIdentity);
  if ((status === 401 || status === 403) && isOfSas)
    return { code: "SasRefused", message: `the SAS was refused (${detail})` };
  if (status === 401 || status === 403)
    return { code: "PermissionMissing", message: `the worker's identity may not (${detail})` };
  if (status === 404) return { code: "NotFound", message: `there is no such thing (${detail})` };
  return { code: "ServiceFailed", message: `the service answered ${detail}` };
}

/** An address of a virtual network, or of the machine itself; not one of Azure's public services. */
export function isPrivateAddress(address: string): boolean {
  const parts = address.split(".").map(Number);
  const [first = -1, second = -1] = parts;
  if (parts.length !== 4) return /^(::1$|f[cd])/i.test(address);
  if (first === 10 || first === 127) return true;
  if (first === 172) return second >= 16 && second <= 31;
  if (first === 192) return second === 168;
  // RFC 6598: virtual networks may use it (learn.microsoft.com/azure/virtual-network/virtual-networks-faq).
  return first === 100 && second >= 64 && second <= 127;
}

function systemCodeOf(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}
