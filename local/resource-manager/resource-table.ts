import { randomUUID } from "node:crypto";
import { z } from "zod";
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";
import type { Resource, ResourceStore } from "./provider.ts";
import { idKey, nameOf } from "./resource-id.ts";

const objectSchema = z.custom<JsonObject>(isJsonObject);
export const resourceSchema = z.object({
  id: z.string(),
  name: z.string(),
  type: z.string(),
  body: objectSchema,
  internal: objectSchema,
  etag: z.string(),
});

export interface ResourceTableEvents {
  /** After any change: the state must be saved. */
  changed(): void;
  /** After a resource went away, for what lives and dies with it. */
  deleted(resource: Resource): void;
}

/** The table of all resources, in memory, in creation order. */
export class ResourceTable implements ResourceStore {
  readonly #byKey = new Map<string, Resource>();
  readonly #events: ResourceTableEvents;

  constructor(events: ResourceTableEvents) {
    this.#events = events;
  }

  load(resources: readonly Resource[]): void {
    for (const resource of resources) this.#byKey.set(idKey(resource.id), resource);
  }

  toJson(): JsonValue {
    return [...this.#byKey.values()].map((resource) => ({ ...resource }));
  }

  get(id: string): Resource | undefined {
    return this.#byKey.get(idKey(id));
  }

  list(type: string, under = ""): readonly Resource[] {
    const wanted = type.toLowerCase();
    return this.descendants(under).filter((resource) => resource.type.toLowerCase() === wanted);
  }

  descendants(id: string): readonly Resource[] {
    const prefix = id === "" ? "" : `${idKey(id)}/`;
    const found: Resource[] = [];
    for (const [key, resource] of this.#byKey) if (key.startsWith(prefix)) found.push(resource);
    return found;
  }

  put(id: string, content: { body: JsonObject; internal?: JsonObject }): Resource {
    const before = this.get(id);
    const resource: Resource = {
      id: before?.id ?? id,
      name: before?.name ?? nameOf(id),
      type: before?.type ?? typeOfId(id),
      body: content.body,
      internal: content.internal ?? before?.internal ?? {},
      etag: `W/"${randomUUID()}"`,
    };
    this.#byKey.set(idKey(id), resource);
    this.#events.changed();
    return resource;
  }

  delete(id: string): void {
    const gone = [...this.descendants(id)];
    const own = this.get(id);
    if (own !== undefined) gone.push(own);
    for (const resource of gone) this.#byKey.delete(idKey(resource.id));
    if (gone.length > 0) this.#events.changed();
    for (const resource of gone) this.#events.deleted(resource);
  }
}

/** Full type of any id, including groups and extension resources (the last provider counts). */
function typeOfId(id: string): string {
  const at = id.toLowerCase().lastIndexOf("/providers/");
  if (at === -1) return "Microsoft.Resources/resourceGroups";
  const [namespace = "", ...rest] = id.slice(at + "/providers/".length).split("/");
  return [namespace, ...rest.filter((_, index) => index % 2 === 0)].join("/");
}
