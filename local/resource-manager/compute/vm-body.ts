import { z } from "zod";
import { ArmError, invalidParameter } from "../arm-error.ts";
import { objectAt, type JsonObject } from "../json.ts";
import { anything, parseBody, referenceSchema } from "./body-schema.ts";
import { imageReferenceSchema } from "./platform-images.ts";

const deleteOption = z.enum(["Delete", "Detach"]).optional();
const caching = z.enum(["None", "ReadOnly", "ReadWrite"]).optional();
const managedDiskSchema = z.strictObject({
  id: z.string().optional(),
  storageAccountType: z.string().optional(),
  diskEncryptionSet: anything,
  securityProfile: anything,
});

const osDiskSchema = z.strictObject({
  createOption: z.enum(["Attach", "FromImage", "Empty", "Copy", "Restore"]),
  osType: z.enum(["Linux", "Windows"]).optional(),
  name: z.string().optional(),
  caching,
  deleteOption,
  managedDisk: managedDiskSchema.optional(),
  diskSizeGB: z.number().int().optional(),
  writeAcceleratorEnabled: z.boolean().optional(),
  diffDiskSettings: anything,
  encryptionSettings: anything,
});

const dataDiskSchema = z.strictObject({
  createOption: z.enum(["Attach", "FromImage", "Empty", "Copy", "Restore"]),
  lun: z.number().int().min(0).max(63),
  name: z.string().optional(),
  caching,
  deleteOption,
  detachOption: anything,
  managedDisk: managedDiskSchema.optional(),
  diskSizeGB: z.number().int().optional(),
  writeAcceleratorEnabled: z.boolean().optional(),
  toBeDetached: z.boolean().optional(),
  diskIOPSReadWrite: anything,
  diskMBpsReadWrite: anything,
});

const sshKeySchema = z.strictObject({ path: z.string(), keyData: z.string() });
const osProfileSchema = z.strictObject({
  computerName: z.string().min(1).max(64),
  adminUsername: z.string().min(1).max(64),
  adminPassword: z.string().optional(),
  customData: z.string().optional(),
  linuxConfiguration: z
    .looseObject({
      disablePasswordAuthentication: z.boolean().optional(),
      ssh: z.strictObject({ publicKeys: z.array(sshKeySchema).optional() }).optional(),
    })
    .optional(),
  windowsConfiguration: anything,
  secrets: anything,
  allowExtensionOperations: z.boolean().optional(),
  requireGuestProvisionSignal: anything,
});

const vmSchema = z.strictObject({
  hardwareProfile: z.looseObject({ vmSize: z.string() }),
  storageProfile: z.strictObject({
    imageReference: imageReferenceSchema.optional(),
    osDisk: osDiskSchema,
    dataDisks: z.array(dataDiskSchema).optional(),
    diskControllerType: z.enum(["SCSI", "NVMe"]).optional(),
    alignRegionalDisksToVMZone: anything,
    diskApiVersion: anything,
  }),
  osProfile: osProfileSchema.optional(),
  networkProfile: z.strictObject({
    networkInterfaces: z
      .array(
        z.strictObject({
          id: z.string(),
          properties: z.strictObject({ primary: z.boolean().optional(), deleteOption }).optional(),
        }),
      )
      .min(1),
    networkApiVersion: anything,
    networkInterfaceConfigurations: z.undefined().optional(),
    interconnectGroupProfile: anything,
  }),
  securityProfile: z
    .strictObject({
      securityType: z.enum(["Standard", "TrustedLaunch", "ConfidentialVM"]).optional(),
      uefiSettings: z
        .strictObject({
          secureBootEnabled: z.boolean().optional(),
          vTpmEnabled: z.boolean().optional(),
        })
        .optional(),
      encryptionAtHost: z.boolean().optional(),
      encryptionIdentity: anything,
      proxyAgentSettings: anything,
    })
    .optional(),
  priority: z.enum(["Regular", "Low", "Spot"]).optional(),
  evictionPolicy: z.enum(["Deallocate", "Delete"]).optional(),
  billingProfile: z.strictObject({ maxPrice: z.number() }).optional(),
  availabilitySet: referenceSchema.optional(),
  proximityPlacementGroup: referenceSchema.optional(),
  diagnosticsProfile: anything,
  additionalCapabilities: anything,
  licenseType: z.string().optional(),
  userData: z.string().optional(),
  extensionsTimeBudget: anything,
  scheduledEventsProfile: anything,
  scheduledEventsPolicy: anything,
  virtualMachineScaleSet: anything,
  host: anything,
  hostGroup: anything,
  platformFaultDomain: anything,
  capacityReservation: anything,
  interconnectBlockProfile: anything,
  applicationProfile: anything,
  resiliencyProfile: anything,
  provisioningState: anything,
  instanceView: anything,
  vmId: anything,
  timeCreated: anything,
});

export type VmProperties = z.infer<typeof vmSchema>;
type OsProfile = z.infer<typeof osProfileSchema>;

/** "The maximum length of the binary array is 65535 bytes" (arm-compute, OSProfile.customData). */
const maxCustomDataBytes = 65_535;
/** Azure's list has more; these are the names that are reserved on Linux. */
const refusedUsers = new Set(["root", "admin", "administrator", "test", "guest", "user", "sys"]);

/** The properties of a VM body that does not contradict itself. */
export function parseVmBody(body: JsonObject): VmProperties {
  const vm = parseBody(vmSchema, objectAt(body, "properties"), "VirtualMachine");
  checkDisks(vm);
  checkSpot(vm);
  checkSecurity(vm);
  checkNetwork(vm);
  return vm;
}

/** Checks of a VM that is being created. */
export function checkNewVm({ storageProfile, osProfile }: VmProperties): void {
  const { osDisk, imageReference } = storageProfile;
  if (osDisk.createOption === "Attach") {
    if (imageReference !== undefined) {
      throw invalidParameter(
        "osDisk",
        "Cannot attach an existing OS disk if the VM is created from a platform, user or a shared gallery image.",
      );
    }
    if (osProfile !== undefined) {
      throw invalidParameter("osProfile", "Parameter 'osProfile' is not allowed.");
    }
    if (osDisk.managedDisk?.id === undefined) throw missing("osDisk.managedDisk.id");
    return;
  }
  if (osDisk.createOption !== "FromImage") {
    throw invalidParameter(
      "osDisk.createOption",
      `The value '${osDisk.createOption}' of parameter 'osDisk.createOption' is not supported here.`,
    );
  }
  if (imageReference === undefined) throw missing("imageReference");
  if (osProfile === undefined) throw missing("osProfile");
  checkOsProfile(osProfile);
}

function checkDisks({ storageProfile: { dataDisks = [] } }: VmProperties): void {
  const luns = new Set<number>();
  for (const [index, disk] of dataDisks.entries()) {
    if (luns.has(disk.lun)) {
      throw invalidParameter(
        "dataDisk.lun",
        `Cannot attach data disk: a disk at LUN ${disk.lun} is specified more than once.`,
      );
    }
    luns.add(disk.lun);
    if (disk.createOption !== "Attach") {
      throw invalidParameter(
        `dataDisks[${index}].createOption`,
        `The value '${disk.createOption}' of parameter 'dataDisk.createOption' is not supported here: attach a disk.`,
      );
    }
    if (disk.managedDisk?.id === undefined) throw missing(`dataDisks[${index}].managedDisk.id`);
  }
}

function checkSpot({ priority, evictionPolicy, billingProfile }: VmProperties): void {
  if (priority === "Spot" || priority === "Low") return;
  const property =
    evictionPolicy !== undefined
      ? "evictionPolicy"
      : billingProfile !== undefined && "billingProfile.maxPrice";
  if (property === false) return;
  throw new ArmError(
    409,
    "OperationNotAllowed",
    `The property '${property}' can be set only with priority 'Spot'.`,
    { target: property },
  );
}

function checkSecurity({ securityProfile }: VmProperties): void {
  const type = securityProfile?.securityType ?? "Standard";
  if (type !== "Standard" || securityProfile?.uefiSettings === undefined) return;
  throw invalidParameter(
    "securityProfile.uefiSettings",
    "Use of UEFI settings is not supported with securityType 'Standard'.",
  );
}

function checkNetwork({ networkProfile: { networkInterfaces } }: VmProperties): void {
  const primaries = networkInterfaces.filter((nic) => nic.properties?.primary === true);
  if (networkInterfaces.length > 1 && primaries.length !== 1) {
    throw new ArmError(
      400,
      "VirtualMachineMustHaveOneNetworkInterfaceAsPrimary",
      "Virtual machine must have one network interface set as the primary.",
    );
  }
}

function checkOsProfile(profile: OsProfile): void {
  if (refusedUsers.has(profile.adminUsername.toLowerCase())) {
    throw invalidParameter(
      "adminUsername",
      "The Admin Username specified is not allowed. For more information about disallowed usernames, see https://aka.ms/vmosprofile",
    );
  }
  const linux = profile.linuxConfiguration;
  const keys = linux?.ssh?.publicKeys ?? [];
  if (linux?.disablePasswordAuthentication === true || profile.adminPassword === undefined) {
    if (keys.length === 0) {
      throw invalidParameter(
        "linuxConfiguration",
        "Authentication using either SSH or by user name and password must be enabled in Linux profile.",
      );
    }
  }
  if (profile.adminPassword !== undefined) checkPassword(profile.adminPassword);
  const path = `/home/${profile.adminUsername}/.ssh/authorized_keys`;
  for (const key of keys) {
    if (key.path !== path) {
      throw invalidParameter(
        "linuxConfiguration.ssh.publicKeys.path",
        `Destination path for SSH public keys is currently limited to its default value ${path} due to a known issue in Linux provisioning agent.`,
      );
    }
    if (!/^ssh-(rsa|ed25519) [A-Za-z0-9+/]+=*( .*)?$/.test(key.keyData.trim())) {
      throw invalidParameter(
        "linuxConfiguration.ssh.publicKeys.keyData",
        "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid.",
      );
    }
  }
  if (profile.customData !== undefined) checkCustomData(profile.customData);
}

/** 12 to 72 characters (of the Windows and Linux rules the stricter) of three classes out of four. */
function checkPassword(password: string): void {
  const classes = [/[a-z]/, /[A-Z]/, /\d/, /[^A-Za-z\d]/].filter((pattern) =>
    pattern.test(password),
  );
  if (password.length >= 12 && password.length <= 72 && classes.length >= 3) return;
  throw invalidParameter(
    "adminPassword",
    "The supplied password must be between 12-72 characters long and must satisfy at least 3 of password complexity requirements from the following: 1) Contains an uppercase character 2) Contains a lowercase character 3) Contains a numeric digit 4) Contains a special character 5) Control characters are not allowed",
  );
}

function checkCustomData(customData: string): void {
  const bytes = Buffer.from(customData, "base64");
  const isBase64 = bytes.toString("base64").replace(/=+$/, "") === customData.replace(/=+$/, "");
  if (!isBase64) {
    throw invalidParameter(
      "customData",
      "Custom data in OSProfile must be in Base64 encoding and with a maximum length of 87380 characters.",
    );
  }
  if (bytes.byteLength > maxCustomDataBytes) {
    throw invalidParameter(
      "customData",
      "Custom data in OSProfile must be in Base64 encoding and with a maximum length of 87380 characters.",
    );
  }
}

function missing(target: string): ArmError {
  return invalidParameter(target, `Required parameter '${target}' is missing (null).`);
}
