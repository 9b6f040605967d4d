/**
 * The last line of defence for logs and error reports: takes what looks like a secret out of any
 * text. Nothing is meant to put one in; messages of foreign libraries may.
 */
const TEXT_CHARS_MAX = 2_000;

export function redact(text: string): string {
  return (
    text
      // The query string of a URL holds the SAS.
      .replaceAll(/(https?:\/\/[^\s?"'<>\\]+)\?[^\s"'<>\\]*/gi, "$1?<removed>")
      .replaceAll(/\b(sig|se|skoid|sktid|ske)=[^&\s"']+/gi, "$1=<removed>")
      // JWT and JWE: base64url of `{"`, then dotted parts.
      .replaceAll(/\beyJ[\w-]+(\.[\w-]*)+/g, "<token removed>")
      .replaceAll(/\bBearer\s+\S+/gi, "Bearer <removed>")
      .replaceAll(
        /("?(?:password|secret|accountkey|mac)"?\s*[:=]\s*)("[^"]*"|[^\s,;}]+)/gi,
        "$1<removed>",
      )
      .slice(0, TEXT_CHARS_MAX)
  );
}
