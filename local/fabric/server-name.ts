const handshakeRecord = 0x16;
const clientHello = 1;
const serverNameExtension = 0;

/**
 * The server name that a TLS client asks for (RFC 6066, section 3), from the first bytes of its
 * connection; undefined when they are no TLS or name none.
 */
export function readServerName(bytes: Buffer): string | undefined {
  const recordHeader = 5;
  if (bytes[0] !== handshakeRecord || bytes[recordHeader] !== clientHello) return undefined;
  try {
    // Type and length (4), version (2), random (32).
    let at = recordHeader + 4 + 2 + 32;
    at += 1 + bytes.readUInt8(at);
    at += 2 + bytes.readUInt16BE(at);
    at += 1 + bytes.readUInt8(at);
    const end = at + 2 + bytes.readUInt16BE(at);
    at += 2;
    while (at + 4 <= end) {
      const type = bytes.readUInt16BE(at);
      const length = bytes.readUInt16BE(at + 2);
      at += 4;
      if (type === serverNameExtension) {
        // Length of the list (2), type host_name (1), length of the name (2).
        const nameBytes = bytes.readUInt16BE(at + 3);
        return bytes.toString("latin1", at + 5, at + 5 + nameBytes).toLowerCase();
      }
      at += length;
    }
  } catch (error) {
    // A hello that goes on in a second packet names its server early enough; else it has none.
    if (!(error instanceof RangeError)) throw error;
  }
  return undefined;
}
