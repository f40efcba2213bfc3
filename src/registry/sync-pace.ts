import { CONTENT_SYNC_ABOVE } from './state.ts'

/** Between two synchronisations, by the number of owners held: the sizes at which the digest and the lease change. */
const SYNC_STEPS = [
  { maxOwners: CONTENT_SYNC_ABOVE, syncMs: 1_500 },
  { maxOwners: 512, syncMs: 3_000 },
  { maxOwners: 2_048, syncMs: 5_000 },
  { maxOwners: Number.POSITIVE_INFINITY, syncMs: 8_000 }
] as const
/** Sessions in a row that found nothing new; after these a host rests. Until then about all others have asked it, and it some of them. */
const CALM_SESSIONS = 6
/** How much longer the pauses of a host at rest are. */
const REST_FACTOR = 4

/** Milliseconds between two synchronisations of a host that holds `owners`. */
export function syncMsFor(owners: number): number {
  return SYNC_STEPS.find(({ maxOwners }) => owners <= maxOwners)?.syncMs ?? SYNC_STEPS[0].syncMs
}

/** The same of a host at rest. */
export function restingSyncMsFor(owners: number): number {
  return syncMsFor(owners) * (owners <= CONTENT_SYNC_ABOVE ? REST_FACTOR : 1)
}

/**
 * How often a host synchronises: less often while there is nothing to find.
 *
 * Where all connect to all, each host has each change from its owner. Only a host that missed one needs a session, and it does not
 * know. So every host that has learned something asks often for a while. One that missed it is asked within seconds, sees that
 * the other holds something else, and asks in turn. In a larger mesh renewals travel by sessions too, and no host rests.
 */
export class SyncPace {
  #calm = 0

  /** Something changed here, or at a peer: others may lack it, or this host. Returns whether the host has rested. */
  news(): boolean {
    const hasRested = this.#calm >= CALM_SESSIONS
    this.#calm = 0
    return hasRested
  }

  /** A session found nothing new. */
  nothingNew(): void {
    this.#calm += 1
  }

  /** Milliseconds until the next session of a host that holds `owners`. */
  pauseMs(owners: number): number {
    return this.#calm >= CALM_SESSIONS ? restingSyncMsFor(owners) : syncMsFor(owners)
  }
}
