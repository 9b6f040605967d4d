import type { ProbeCode, ProbeResult } from "../model/doctor.ts";

/** What the install script's curl ended with (curl.se/libcurl/c/libcurl-errors.html). */
const CURL_CODES: Readonly<Record<string, { readonly code: ProbeCode; readonly message: string }>> =
  {
    "6": { code: "NoSuchName", message: "the name does not exist" },
    "7": { code: "ConnectRefused", message: "the address could not be connected to" },
    "28": { code: "ConnectTimedOut", message: "nothing answered at the address" },
    "35": { code: "ConnectionCut", message: "the connection was cut during TLS" },
    "52": { code: "ConnectionCut", message: "the connection was cut" },
    "56": { code: "ConnectionCut", message: "the connection was cut" },
    "60": {
      code: "UntrustedCertificate",
      message: "the certificate is not trusted or of another host",
    },
  };

/**
 * A worker that never got its bundle has looked all the same: its curl is a probe of the staging
 * account. Nothing when the text tells of no such failure.
 */
export function probesOfInstall(text: string): ProbeResult[] | undefined {
  const [, curlCode = ""] = /curl: \((\d+)\)/.exec(text) ?? [];
  const isRefused = /curl: \(22\).*\b403\b/.test(text);
  const refusal = { code: "NetworkRefused" as const, message: "the service refused it (403)" };
  const verdict = isRefused ? refusal : CURL_CODES[curlCode];
  if (verdict === undefined) return undefined;
  const name = "download of the bundle";
  const seen = { host: "the staging account", ok: false, aliases: [], durationMs: 0 };
  return [{ name, kind: "staging-blob", ...seen, ...verdict }];
}
