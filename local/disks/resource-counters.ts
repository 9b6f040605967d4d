/** What the data plane did for one disk or snapshot; tests and the demo assert on it. */
export interface ResourceCounters {
  /** Requests of any kind that passed authentication. */
  requestCount: number;
  /** GETs of bytes (page lists not included). */
  readCount: number;
  /** Bytes of the disk sent by GET, zeros included; the footer is not counted. */
  readBytes: number;
  pageListCount: number;
  /** Put Page updates. */
  writeCount: number;
  /** Bytes of the disk written by Put Page; the footer is not counted. */
  writtenBytes: number;
}

export function emptyCounters(): ResourceCounters {
  return {
    requestCount: 0,
    readCount: 0,
    readBytes: 0,
    pageListCount: 0,
    writeCount: 0,
    writtenBytes: 0,
  };
}
