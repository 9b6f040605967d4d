const HOUR_SECONDS = 60 * 60;

/** The two spans of time that keep maintenance away from what is still being used. */
export interface MaintenanceMargins {
  /**
   * No backup lasts longer. Objects without an owner that are younger may belong to a backup that
   * runs, or wait for the successor of one that died.
   */
  readonly sessionSeconds: number;
  /**
   * Time between marking an object and deleting it: what a reader of a point that expires meanwhile
   * still has, and what an error in marking leaves for somebody to notice.
   */
  readonly markedSeconds: number;
}

export const DEFAULT_MARGINS: MaintenanceMargins = {
  sessionSeconds: 7 * 24 * HOUR_SECONDS,
  markedSeconds: 24 * HOUR_SECONDS,
};

/** The instant that lies so many seconds before `now`. */
export function secondsBefore(now: Date, seconds: number): Date {
  return new Date(now.getTime() - seconds * 1000);
}
