/**
 * Images that workers start from. The agent is built for Ubuntu 22.04 and 24.04 LTS on x64, and Azure's
 * managed Run Command, which installs it, knows no Arm64
 * (learn.microsoft.com/azure/virtual-machines/linux/run-command-managed); Trusted launch needs generation 2.
 * What a gallery image holds its id does not say: the install script looks (`install-script.ts`).
 */
/** `offer:sku` of Canonical, generation 2 and x64, without a plan to accept. */
const UBUNTU_IMAGES: readonly string[] = [
  "ubuntu-24_04-lts:server",
  "ubuntu-24_04-lts:minimal",
  "0001-com-ubuntu-server-jammy:22_04-lts-gen2",
  "0001-com-ubuntu-minimal-jammy:minimal-22_04-lts-gen2",
];

export const NOT_UBUNTU = `is none of Ubuntu 22.04 or 24.04 LTS, generation 2, x64: publisher Canonical and one of ${UBUNTU_IMAGES.join(", ")}`;

/** @param urn `publisher:offer:sku:version` */
export function isUbuntuImage(urn: string): boolean {
  const [publisher = "", offer, sku] = urn.split(":");
  return publisher.toLowerCase() === "canonical" && UBUNTU_IMAGES.includes(`${offer}:${sku}`);
}

/**
 * A size of Arm processors has a `p` among the letters behind its number of cores
 * (learn.microsoft.com/azure/virtual-machines/vm-naming-conventions).
 */
const ARM_SIZE = /^[a-z]+_[a-z]+\d+(-\d+)?[a-z]*p[a-z]*(_|$)/i;

export function isArmSize(vmSize: string): boolean {
  return ARM_SIZE.test(vmSize);
}
