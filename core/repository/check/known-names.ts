/** Which names an object of a repository can have. Others are *foreign*: reported, never touched. */

const NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,127}";
const DIGITS = "[0-9a-f]";

const INDEX = `disks/${NAME}/indexes/${DIGITS}{32}\\.index`;
// The folder of a pack repeats the first digits of its name.
const PACK = `disks/${NAME}/packs/(?<first>${DIGITS}{8})/\\k<first>${DIGITS}{24}\\.pack`;
/** In a copy of a folder a lock is a row of files, `lock.1.held`, ... */
const LOCK = "lock(?:\\.[0-9]{1,15}\\.held)?";

/** Parts of a repository by the shape of their names (docs/repository-format.md, section 1). */
const KNOWN_NAMES = [
  "repo\\.json",
  "README\\.txt",
  `keys/${DIGITS}{32}/${NAME}\\.json`,
  `keys/${DIGITS}{32}/rewrap\\.manifest`,
  `keys/${LOCK}`,
  `vms/${NAME}/points/${NAME}\\.manifest`,
  `disks/${NAME}/points/[0-9]{10}\\.manifest`,
  `disks/${NAME}/attempts/[0-9]{10}\\.manifest`,
  `disks/${NAME}/attempts/[0-9]{10}-part-[0-9]{10}-[0-9]{10}-${NAME}\\.manifest`,
  `disks/${NAME}/garbage/${NAME}\\.manifest`,
  `disks/${NAME}/${LOCK}`,
  INDEX,
  PACK,
  `quarantine/${NAME}/${DIGITS}{32}\\.manifest`,
  `archives/${NAME}/${LOCK}`,
  `archives/${NAME}/${NAME}/archive\\.manifest`,
  `archives/${NAME}/${NAME}/${INDEX}`,
  `archives/${NAME}/${NAME}/${PACK}`,
  `retrievals/${NAME}/retrieval\\.manifest`,
  `retrievals/${NAME}/${PACK}`,
].map((pattern) => new RegExp(`^${pattern}$`));

export function isKnownName(name: string): boolean {
  return KNOWN_NAMES.some((pattern) => pattern.test(name));
}

const DISK_OF_NAME = /^disks\/([^/]+)\//;

/** The disk that an object belongs to; undefined for other objects. */
export function diskIdOf(name: string): string | undefined {
  return DISK_OF_NAME.exec(name)?.[1];
}
