/**
 * The registry of *principals*: who can be given a role. A principal is a user, a service
 * principal of an application, or a managed identity. A *system-assigned* identity lives and dies
 * with its resource; a *user-assigned* one is a resource of its own that others refer to.
 */
export interface Principal {
  /** Object id: the `oid` of its tokens, the principalId of its role assignments. */
  readonly objectId: string;
  /** Application id: the `appid` of its tokens, `client_id` in token requests. */
  readonly clientId: string;
  readonly kind: "User" | "ServicePrincipal" | "SystemAssigned" | "UserAssigned";
  readonly displayName: string;
  /** Of the resource that owns a system-assigned identity, or of the user-assigned identity itself. */
  readonly resourceId?: string;
}

export interface Principals {
  /** Makes one; the object and client id are chosen when not given. */
  create(principal: {
    kind: Principal["kind"];
    displayName: string;
    resourceId?: string;
    objectId?: string;
    clientId?: string;
  }): Principal;
  byObjectId(objectId: string): Principal | undefined;
  byClientId(clientId: string): Principal | undefined;
  /** Ignores case. */
  byResourceId(resourceId: string): Principal | undefined;
  list(): readonly Principal[];
  /** No error when absent. */
  remove(objectId: string): void;
}
