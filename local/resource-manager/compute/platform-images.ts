import { z } from "zod";
import { ArmError, invalidParameter } from "../arm-error.ts";

/** What the marketplace images of this cloud are; versions are not checked against a list. */
interface PlatformImage {
  readonly publisher: string;
  readonly offer: string;
  readonly sku: string;
  readonly architecture: "x64" | "Arm64";
  readonly hyperVGeneration: "V1" | "V2";
}

/** Ubuntu images are 30 GiB. */
export const platformImageSizeBytes = 30 * 1024 ** 3;
const newestVersion = "24.04.202610140";

function ubuntu(
  offer: string,
  sku: string,
  hyperVGeneration: "V1" | "V2",
  architecture: "x64" | "Arm64" = "x64",
): PlatformImage {
  return { publisher: "canonical", offer, sku, hyperVGeneration, architecture };
}

const images: readonly PlatformImage[] = [
  ubuntu("ubuntu-24_04-lts", "server", "V2"),
  ubuntu("ubuntu-24_04-lts", "server-gen1", "V1"),
  ubuntu("ubuntu-24_04-lts", "minimal", "V2"),
  ubuntu("ubuntu-24_04-lts", "server-arm64", "V2", "Arm64"),
  ubuntu("0001-com-ubuntu-server-jammy", "22_04-lts", "V1"),
  ubuntu("0001-com-ubuntu-server-jammy", "22_04-lts-gen2", "V2"),
  ubuntu("0001-com-ubuntu-server-jammy", "22_04-lts-arm64", "V2", "Arm64"),
  ubuntu("0001-com-ubuntu-minimal-jammy", "minimal-22_04-lts-gen2", "V2"),
];

export const imageReferenceSchema = z.strictObject({
  publisher: z.string().optional(),
  offer: z.string().optional(),
  sku: z.string().optional(),
  version: z.string().optional(),
  exactVersion: z.string().optional(),
  id: z.string().optional(),
  sharedGalleryImageId: z.string().optional(),
  communityGalleryImageId: z.string().optional(),
});

export interface FoundImage extends PlatformImage {
  readonly exactVersion: string;
}

/** 404 `PlatformImageNotFound` as Azure words it; gallery images do not exist in this cloud. */
export function findPlatformImage(
  reference: z.infer<typeof imageReferenceSchema>,
  location: string,
): FoundImage {
  const { publisher, offer, sku, version } = reference;
  if (reference.id !== undefined) {
    throw new ArmError(
      404,
      "GalleryImageNotFound",
      `The gallery image ${reference.id} was not found.`,
    );
  }
  if (
    publisher === undefined ||
    offer === undefined ||
    sku === undefined ||
    version === undefined
  ) {
    throw invalidParameter(
      "imageReference",
      "The following list of images referenced from the deployment template are not complete: publisher, offer, sku and version are required.",
    );
  }
  const image = images.find(
    (known) =>
      known.publisher === publisher.toLowerCase() && known.offer === offer && known.sku === sku,
  );
  if (image === undefined || !(version === "latest" || /^\d+\.\d+\.\d+$/.test(version))) {
    throw new ArmError(
      404,
      "PlatformImageNotFound",
      `The platform image '${publisher}:${offer}:${sku}:${version}' is not available. Verify that all fields in the storage profile are correct. For more details about storage profile information, please refer to https://aka.ms/storageprofile (${location})`,
      { target: "imageReference" },
    );
  }
  return { ...image, exactVersion: version === "latest" ? newestVersion : version };
}
