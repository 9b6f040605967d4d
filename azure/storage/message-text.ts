/**
 * Queue messages travel as base64 of UTF-8: what the Functions host expects and writes by default
 * (host.json, `queues.messageEncoding`), and safe in the service's XML.
 */
export function encodeMessage(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}

export function decodeMessage(body: string): string {
  return Buffer.from(body, "base64").toString("utf8");
}
