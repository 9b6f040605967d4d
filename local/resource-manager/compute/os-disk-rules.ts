/**
 * What a disk must say of itself so that a VM can start from it: security type, purchase plan,
 * processor architecture and disk controllers. Azure decides by the disk's own properties, never by
 * its content, so a disk that was uploaded without them cannot be used.
 */
import { ArmError } from "../arm-error.ts";
import { isJsonObject, objectAt, stringAt, withoutUndefined, type JsonObject } from "../json.ts";
import type { Resource } from "../provider.ts";
import type { DiskProperties } from "./disk-body.ts";
import type { VmProperties } from "./vm-body.ts";
import type { VmSize } from "./vm-sizes.ts";

/** Azure names them in its refusal (azure-cli issue 22561, terraform-provider-azurerm pull 20030). */
const createOptionsOfTrustedLaunch = [
  "FromImage",
  "Import",
  "ImportSecure",
  "UploadPreparedSecure",
];
const createOptionsOfConfidential = ["FromImage", "ImportSecure", "UploadPreparedSecure"];

/**
 * 400 for a security type that the way of creation does not carry. A disk that is uploaded alone says
 * `supportedCapabilities.supportedSecurityOption` instead (azure-cli issue 31842).
 */
export function checkDiskSecurity({ securityProfile, creationData }: DiskProperties): void {
  const type = securityProfile?.securityType;
  if (type === undefined || type === "Standard") return;
  const options =
    type === "TrustedLaunch" ? createOptionsOfTrustedLaunch : createOptionsOfConfidential;
  if (options.includes(creationData.createOption)) return;
  throw badRequest(
    `Security Type '${type}' is not supported for CreateOption '${creationData.createOption}'. Supported create options are ${options.join(", ")}.`,
  );
}

/** 400: only Standard and Premium disks take a direct upload (facts 2.8: "Standard disk only"). */
export function checkUploadSku({ creationData }: DiskProperties, sku: JsonObject): void {
  const name = stringAt(sku, "name") ?? "";
  if (creationData.createOption !== "Upload" || !/^(PremiumV2|UltraSSD)_/.test(name)) return;
  throw new ArmError(
    400,
    "InvalidParameter",
    `Disks of type ${name} cannot be created with CreateOption 'Upload'.`,
    { target: "disk.creationData.createOption" },
  );
}

/** The properties of a new disk that say what it can be used for, as far as the request states them. */
export function statedCapabilities(properties: DiskProperties): JsonObject {
  const { purchasePlan, supportedCapabilities } = properties;
  return {
    ...(purchasePlan !== undefined && { purchasePlan: withoutUndefined(purchasePlan) }),
    ...(supportedCapabilities !== undefined && {
      supportedCapabilities: withoutUndefined(supportedCapabilities),
    }),
  };
}

/** Refuses a VM that does not fit the OS disk that it is to be made of. */
export function checkOsDiskFits(
  disk: Resource,
  vm: { readonly properties: VmProperties; readonly plan: JsonObject; readonly size: VmSize },
): void {
  checkSecurityTypes(disk, vm.properties);
  checkPlan(disk, vm.plan);
  const capabilities = objectAt(objectAt(disk.body, "properties"), "supportedCapabilities");
  const architecture = stringAt(capabilities, "architecture") ?? "x64";
  if (architecture !== vm.size.architecture) throw wrongArchitecture(vm.size, architecture);
  const controllers = stringAt(capabilities, "diskControllerTypes") ?? "SCSI";
  const controller = vm.properties.storageProfile.diskControllerType ?? "SCSI";
  if (!controllers.includes(controller)) {
    throw new ArmError(
      400,
      "InvalidParameter",
      `The VM size '${vm.size.name}' cannot boot with DiskControllerType '${controller}' from the OS disk ${disk.name}, which supports '${controllers}'.`,
      { target: "storageProfile.diskControllerType" },
    );
  }
}

export function wrongArchitecture(size: VmSize, architecture: string): ArmError {
  return badRequest(
    `Cannot create a VM of size '${size.name}' because this VM size only supports a CPU Architecture of '${size.architecture}', but an image or disk with CPU Architecture '${architecture}' was given. Please check that the CPU Architecture of the image or disk is compatible with that of the VM size.`,
  );
}

/** azure-sdk-for-python issue 30479. */
function checkSecurityTypes(disk: Resource, vm: VmProperties): void {
  const properties = objectAt(disk.body, "properties");
  const diskType = stringAt(objectAt(properties, "securityProfile"), "securityType") ?? "Standard";
  const vmType = vm.securityProfile?.securityType ?? "Standard";
  const option = stringAt(objectAt(properties, "supportedCapabilities"), "supportedSecurityOption");
  if (vmType === diskType) return;
  if (vmType === "TrustedLaunch" && option?.startsWith("TrustedLaunch") === true) return;
  throw badRequest(
    "Security type of VM is not compatible with the security type of attached OS Disk.",
  );
}

/** The plan of a VM is that of the image its OS disk came from, as the disk has it. */
function checkPlan(disk: Resource, plan: JsonObject): void {
  const bought = objectAt(disk.body, "properties")["purchasePlan"];
  const isFor = isJsonObject(bought) ? bought : {};
  const parts = ["name", "publisher", "product"];
  if (parts.every((part) => stringAt(isFor, part) === stringAt(plan, part))) return;
  const message =
    Object.keys(isFor).length === 0
      ? "Creating a virtual machine from a non-Marketplace image does not need Plan information. Please remove the Plan information from the request."
      : "Creating a virtual machine from Marketplace image or a custom image sourced from a Marketplace image requires Plan information in the request, and it must match the purchase plan of the OS disk.";
  throw new ArmError(400, "VMMarketplaceInvalidInput", message, { target: "plan" });
}

function badRequest(message: string): ArmError {
  return new ArmError(400, "BadRequest", message);
}
