/** What may stand in the value of a worker's tag. */
export interface TagVariables {
  readonly region: string;
  readonly session: string;
  /** Empty for what no policy started. */
  readonly policy: string;
  readonly worker: string;
  readonly profile: string;
}

const VARIABLE = /\{(region|session|policy|worker|profile)\}/g;
/** Azure's limit for the value of a tag. */
const VALUE_CHARACTERS_MAX = 256;

/** Tags with their variables filled in; a name in braces that is no variable stays as it is. */
export function fillTags(
  tags: Readonly<Record<string, string>>,
  variables: TagVariables,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(tags).map(([name, value]) => [
      name,
      value
        .replaceAll(VARIABLE, (_match, key: keyof TagVariables) => variables[key])
        .slice(0, VALUE_CHARACTERS_MAX),
    ]),
  );
}
