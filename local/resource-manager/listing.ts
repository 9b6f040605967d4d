import { ArmError } from "./arm-error.ts";
import type { ArmRequest, ArmResponse } from "./arm-message.ts";
import type { Core } from "./core.ts";
import { objectAt, stringAt, type JsonObject } from "./json.ts";
import type { Resource } from "./provider.ts";
import { idKey } from "./resource-id.ts";

const maximumTop = 1000;

/**
 * One page of a list. The skip token names the last resource of the page before, so that nothing
 * is skipped or shown twice when resources come and go between pages.
 */
export function answerPage(
  core: Core,
  request: ArmRequest,
  listed: { resources: readonly Resource[]; render: (resource: Resource) => JsonObject },
): ArmResponse {
  const visible = listed.resources
    .filter((resource) => !core.hiddenFromLists(resource))
    .toSorted((one, other) => (idKey(one.id) < idKey(other.id) ? -1 : 1));
  const after = decodeSkipToken(request.query.get("$skiptoken"));
  const rest = after === undefined ? visible : visible.filter(({ id }) => idKey(id) > after);
  const size = Math.min(core.pageSize, topOf(request) ?? core.pageSize);
  const page = rest.slice(0, size);
  const last = page.at(-1);
  const value = page.map((resource) => listed.render(resource));
  if (last === undefined || rest.length <= page.length) return { status: 200, body: { value } };
  const next = new URLSearchParams();
  for (const [name, text] of request.query) if (name !== "$skiptoken") next.set(name, text);
  next.set("$skiptoken", Buffer.from(idKey(last.id)).toString("base64url"));
  const nextLink = `${request.origin}${encodeURI(request.path)}?${next.toString()}`;
  return { status: 200, body: { value, nextLink } };
}

function topOf(request: ArmRequest): number | undefined {
  const text = request.query.get("$top");
  if (text === undefined) return undefined;
  const top = Number(text);
  if (Number.isInteger(top) && top > 0 && top <= maximumTop) return top;
  throw new ArmError(
    400,
    "InvalidTopQueryParameter",
    `The provided $top query parameter '${text}' is invalid.`,
  );
}

function decodeSkipToken(token: string | undefined): string | undefined {
  if (token === undefined) return undefined;
  const key = Buffer.from(token, "base64url").toString();
  if (key.startsWith("/")) return key;
  throw new ArmError(
    400,
    "InvalidSkipToken",
    "The provided $skiptoken query parameter is invalid.",
  );
}

const tagFilter = /^tagName eq '((?:[^']|'')*)'(?: and tagValue eq '((?:[^']|'')*)')?$/i;
const typeFilter = /^resourceType eq '((?:[^']|'')*)'$/i;

/**
 * The resources that a `$filter` of the general resource list keeps:
 * `tagName eq 'a' and tagValue eq 'b'` or `resourceType eq 'Microsoft.Compute/disks'`.
 * https://learn.microsoft.com/rest/api/resources/resources/list
 */
export function filterResources(
  resources: readonly Resource[],
  filter: string | undefined,
): readonly Resource[] {
  if (filter === undefined || filter === "") return resources;
  const unquote = (text: string) => text.replaceAll("''", "'");
  const [, type] = typeFilter.exec(filter) ?? [];
  if (type !== undefined)
    return resources.filter(
      (resource) => resource.type.toLowerCase() === unquote(type).toLowerCase(),
    );
  const [, name, value] = tagFilter.exec(filter) ?? [];
  if (name === undefined)
    throw new ArmError(
      400,
      "InvalidFilterInQueryString",
      `Invalid $filter '${filter}' specified in the query string.`,
    );
  return resources.filter(({ body }) => {
    const tags = objectAt(body, "tags");
    const key = Object.keys(tags).find((tag) => tag.toLowerCase() === unquote(name).toLowerCase());
    return key !== undefined && (value === undefined || stringAt(tags, key) === unquote(value));
  });
}
