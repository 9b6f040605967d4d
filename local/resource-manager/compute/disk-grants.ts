import { z } from "zod";
import type { ResourceKind } from "#local/disks/disk-service.ts";
import { ArmError } from "../arm-error.ts";
import { objectAt, stringAt, type JsonObject } from "../json.ts";
import type { ActionHandler, ActionRequest, WorkContext, WorkRunner } from "../provider.ts";
import { idKey, sameId } from "../resource-id.ts";
import { parseBody } from "./body-schema.ts";
import type { ComputeServices } from "./compute-services.ts";
import { exportHostOf } from "./disk-accesses.ts";
import { callDisks } from "./disk-errors.ts";
import { powerStateOf } from "./vm-state.ts";

/** ACD/includes/virtual-machines-disks-private-links-limitations.md */
const maxTransfersPerDiskAccess = 5;

const grantSchema = z.strictObject({
  access: z.enum(["Read", "Write"]),
  durationInSeconds: z.number().int(),
  fileFormat: z.literal("VHD").optional(),
  getSecureVMGuestStateSAS: z.literal(false).optional(),
});

/** `beginGetAccess` and `endGetAccess` of disks and snapshots: polled at Location. */
export function grantActions(
  services: ComputeServices,
  kind: ResourceKind,
): Readonly<Record<string, ActionHandler>> {
  return {
    beginGetAccess: {
      handle: async (request) => {
        const body = parseBody(grantSchema, request.body, "GrantAccessData");
        checkPolicy(services, request, body.access);
        // Granted while the request is answered: a refusal is the answer, and the work repeats it.
        await grant(services, kind, request, body);
        return {
          kind: "accepted",
          work: {
            name: "grant",
            style: "location",
            input: { access: body.access, durationInSeconds: body.durationInSeconds },
          },
        };
      },
    },
    endGetAccess: {
      handle: () => ({ kind: "accepted", work: { name: "revoke", style: "location" } }),
    },
  };
}

export function grantWork(
  services: ComputeServices,
  kind: ResourceKind,
): Readonly<Record<string, WorkRunner>> {
  return {
    grant: async (context) => {
      const body = parseBody(grantSchema, context.input, "GrantAccessData");
      const { accessSas } = await grant(services, kind, context, body);
      return { accessSAS: accessSas };
    },
    revoke: async ({ id }) => {
      await callDisks(() => services.disks.revokeAccess({ kind, id: idKey(id) }));
    },
  };
}

async function grant(
  services: ComputeServices,
  kind: ResourceKind,
  context: ActionRequest | WorkContext,
  body: z.infer<typeof grantSchema>,
): Promise<{ accessSas: string }> {
  const resource = context.resources.get(context.id);
  const ownerId = resource === undefined ? undefined : stringAt(resource.body, "managedBy");
  const owner = ownerId === undefined ? undefined : context.resources.get(ownerId);
  const isRunning = owner !== undefined && powerStateOf(owner) !== "deallocated";
  const { accessSas } = await callDisks(() =>
    services.disks.grantAccess({
      kind,
      id: idKey(context.id),
      access: body.access,
      durationSeconds: body.durationInSeconds,
      ...(isRunning ? { attachedToRunningVmId: owner.id } : {}),
    }),
  );
  services.exportPeaks.look(services.disks, context.resources);
  if (services.exportOrigin === undefined) return { accessSas };
  const diskAccess = context.resources.get(diskAccessOf(resource?.body ?? {}));
  const origin = services.exportOrigin(exportHostOf(diskAccess));
  const { pathname, search } = new URL(accessSas);
  return { accessSas: `${origin}${pathname}${search}` };
}

function checkPolicy(services: ComputeServices, request: ActionRequest, access: string): void {
  const properties = objectAt(request.existing.body, "properties");
  const policy = stringAt(properties, "networkAccessPolicy");
  if (policy === "DenyAll") {
    throw new ArmError(
      409,
      "OperationNotAllowed",
      `Access to ${request.existing.name} cannot be granted: its networkAccessPolicy is DenyAll.`,
    );
  }
  const diskAccessId = stringAt(properties, "diskAccessId");
  if (diskAccessId === undefined) return;
  const encryptionSet = stringAt(objectAt(properties, "encryption"), "diskEncryptionSetId");
  if (access === "Write" && encryptionSet !== undefined) {
    throw new ArmError(
      400,
      "InvalidParameter",
      "A disk with both a disk access and a disk encryption set cannot be uploaded to.",
    );
  }
  checkTransfers(services, request, diskAccessId);
}

function checkTransfers(
  services: ComputeServices,
  { id, resources }: ActionRequest,
  diskAccessId: string,
): void {
  const live = new Set(services.disks.listGrants().map((grant) => grant.id));
  const using = ["Microsoft.Compute/disks", "Microsoft.Compute/snapshots"]
    .flatMap((type) => resources.list(type))
    .filter((resource) => live.has(idKey(resource.id)) && !sameId(resource.id, id))
    .filter((resource) => sameId(diskAccessOf(resource.body), diskAccessId));
  if (using.length < maxTransfersPerDiskAccess) return;
  throw new ArmError(
    409,
    "OperationNotAllowed",
    `Disk access ${diskAccessId} has ${using.length} disks or snapshots that are being imported or exported; at most ${maxTransfersPerDiskAccess} are allowed at the same time.`,
  );
}

function diskAccessOf(body: JsonObject): string {
  return stringAt(objectAt(body, "properties"), "diskAccessId") ?? "";
}
