import { generateKeyPairSync } from "node:crypto";
import type { ImageReference, OSDisk, VirtualMachine } from "@azure/arm-compute";
import { HoldfastError } from "#core/lib/errors.ts";
import type { WorkerImage } from "#core/model/worker-configuration.ts";
import type { WorkerVmRequest } from "#core/ports/compute.ts";
import { parseResourceId } from "../resource-id.ts";

/** Account that the image must have; nobody can log in with it. */
const ADMIN_USER = "holdfast";

/**
 * A worker boots without internet: cloud-init must not refresh packages and the update timers must
 * not wait for mirrors that cannot be reached. Where the operator has a mirror, the install script
 * takes the masks off (`core/workers/install-script.ts`).
 */
const CLOUD_CONFIG = `#cloud-config
package_update: false
package_upgrade: false
bootcmd:
  - [systemctl, mask, --now, apt-daily.timer, apt-daily-upgrade.timer, unattended-upgrades.service]
`;

/** Azure bills what spot costs now, at most the price of a regular machine, and evicts for room only. */
const SPOT_PRICE_ANY = -1;

/**
 * Body of a worker VM: pinned image, no public address (its NIC has none), login impossible, disk and
 * NIC deleted with it.
 */
export function workerVmBody(request: WorkerVmRequest): VirtualMachine {
  const { names } = parseResourceId(request.vmResourceId);
  return {
    location: request.location,
    tags: { ...request.tags },
    identity: {
      type: "UserAssigned",
      userAssignedIdentities: { [request.identityResourceId]: {} },
    },
    hardwareProfile: { vmSize: request.vmSize },
    ...(request.priority === "spot" && {
      priority: "Spot",
      evictionPolicy: "Delete",
      billingProfile: { maxPrice: SPOT_PRICE_ANY },
    }),
    storageProfile: {
      imageReference: imageReferenceOf(request.image),
      osDisk: osDiskOf(request, `${names[0]}-os`),
    },
    osProfile: {
      computerName: names[0],
      adminUsername: ADMIN_USER,
      customData: Buffer.from(CLOUD_CONFIG, "utf8").toString("base64"),
      linuxConfiguration: {
        disablePasswordAuthentication: true,
        provisionVMAgent: true,
        // The VM lives for minutes: updates would only reboot it or keep its disk busy.
        patchSettings: { patchMode: "ImageDefault", assessmentMode: "ImageDefault" },
        ssh: {
          publicKeys: [
            { path: `/home/${ADMIN_USER}/.ssh/authorized_keys`, keyData: throwawayPublicKey() },
          ],
        },
      },
    },
    networkProfile: {
      networkInterfaces: [{ id: request.nicId, primary: true, deleteOption: "Delete" }],
    },
    // Azure takes `Standard` where nothing is said (Resource Manager, since 2025-11-01).
    securityProfile: {
      securityType: "TrustedLaunch",
      uefiSettings: { secureBootEnabled: true, vTpmEnabled: true },
    },
    diagnosticsProfile: { bootDiagnostics: { enabled: false } },
  };
}

function osDiskOf(request: WorkerVmRequest, name: string): OSDisk {
  const common = { name, createOption: "FromImage", deleteOption: "Delete" } as const;
  // Lives on the machine that the VM runs on (https://learn.microsoft.com/azure/virtual-machines/ephemeral-os-disks).
  if (request.osDisk === "ephemeral")
    return {
      ...common,
      caching: "ReadOnly",
      diffDiskSettings: { option: "Local", placement: "CacheDisk" },
    };
  const { diskEncryptionSetId } = request;
  return {
    ...common,
    caching: "ReadWrite",
    managedDisk: {
      storageAccountType: "StandardSSD_LRS",
      ...(diskEncryptionSetId !== undefined && { diskEncryptionSet: { id: diskEncryptionSetId } }),
    },
  };
}

/** `publisher:offer:sku:version`; a floating version would make workers differ from day to day. */
function imageReferenceOf(image: WorkerImage): ImageReference {
  if (image.kind === "gallery") return { id: image.imageId };
  const { urn } = image;
  const [publisher, offer, sku, version, ...rest] = urn.split(":");
  const complete = [publisher, offer, sku, version].every(
    (part) => part !== undefined && part !== "",
  );
  if (!complete || rest.length > 0 || version === "latest") {
    throw new HoldfastError(
      "InvalidImageUrn",
      `"${urn}" is not a pinned image. Write publisher:offer:sku:version with an exact version.`,
    );
  }
  return { publisher, offer, sku, version } as ImageReference;
}

/**
 * An SSH public key in OpenSSH form (RFC 8709) whose private half is never kept: Azure insists on a
 * password or a key, and this one opens nothing.
 */
function throwawayPublicKey(): string {
  const jwk = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" });
  const algorithm = "ssh-ed25519";
  const blob = Buffer.concat(
    [Buffer.from(algorithm), Buffer.from(jwk.x ?? "", "base64url")].flatMap((field) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(field.length);
      return [length, field];
    }),
  );
  return `${algorithm} ${blob.toString("base64")} discarded`;
}
