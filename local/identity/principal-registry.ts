import { randomUUID } from "node:crypto";
import { z } from "zod";
import { StateFile } from "../resource-manager/state-file.ts";
import type { Principal, Principals } from "./principals.ts";

const principalSchema = z.object({
  objectId: z.string(),
  clientId: z.string(),
  kind: z.enum(["User", "ServicePrincipal", "SystemAssigned", "UserAssigned"]),
  displayName: z.string(),
  resourceId: z.string().exactOptional(),
});

/** The principals of the simulated tenant, kept in one file. */
export class PrincipalRegistry implements Principals, Disposable {
  readonly #byObjectId = new Map<string, Principal>();
  readonly #file: StateFile;

  constructor(path: string) {
    this.#file = new StateFile(path, () => this.list().map((principal) => ({ ...principal })));
    const stored = z.array(principalSchema).parse(this.#file.read() ?? []);
    for (const principal of stored) this.#byObjectId.set(principal.objectId, principal);
  }

  create(wanted: Parameters<Principals["create"]>[0]): Principal {
    const {
      kind,
      displayName,
      resourceId,
      objectId = randomUUID(),
      clientId = randomUUID(),
    } = wanted;
    const principal: Principal = {
      objectId: objectId.toLowerCase(),
      clientId: clientId.toLowerCase(),
      kind,
      displayName,
      ...(resourceId === undefined ? {} : { resourceId }),
    };
    this.#byObjectId.set(principal.objectId, principal);
    this.#save();
    return principal;
  }

  byObjectId(objectId: string): Principal | undefined {
    return this.#byObjectId.get(objectId.toLowerCase());
  }

  byClientId(clientId: string): Principal | undefined {
    const wanted = clientId.toLowerCase();
    return this.list().find((principal) => principal.clientId === wanted);
  }

  byResourceId(resourceId: string): Principal | undefined {
    const wanted = resourceId.toLowerCase();
    return this.list().find((principal) => principal.resourceId?.toLowerCase() === wanted);
  }

  list(): readonly Principal[] {
    return [...this.#byObjectId.values()];
  }

  remove(objectId: string): void {
    if (this.#byObjectId.delete(objectId.toLowerCase())) this.#save();
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  // Principals change seldom and tokens for them must survive a kill: no delay.
  #save(): void {
    this.#file.changed();
    this.#file.flush();
  }
}
