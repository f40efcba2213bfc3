import type { Clock } from '../core/index.ts'
import { formatAddress, type PeerKey } from '../identity/index.ts'
import type { OwnerView, RegistryRecord } from '../registry/index.ts'
import { EndedServices } from './ended-services.ts'

/** Why a host is no member any more: it stopped; its lease ended without a word; or it was revoked. */
export type LostReason = 'left' | 'silent' | 'evicted'

/** A host that was a member, with its last announcement. */
export interface LostHost {
  readonly sinceMs: number
  readonly reason: LostReason
  readonly last: OwnerView
  /** What it served, sorted by address; at most 64. */
  readonly served: readonly RegistryRecord[]
}

/** For how long a lost host is remembered, in milliseconds. */
export const LOST_MS = 86_400_000
/** Of more, the one that was lost first is forgotten. */
export const MAX_LOST_HOSTS = 512
export const MAX_LOST_SERVICES = 64

const REASONS: Readonly<Record<string, LostReason>> = { left: 'left', expired: 'silent', revoked: 'evicted' }

/** Remembers in memory, for a day, the hosts that were members here, and what they served. */
export class LostHosts {
  readonly #clock: Pick<Clock, 'wallMs'>
  readonly #lost = new Map<PeerKey, LostHost>()
  /** What members no longer have. */
  readonly ended: EndedServices

  constructor(clock: Pick<Clock, 'wallMs'>) {
    this.#clock = clock
    this.ended = new EndedServices(clock)
  }

  /** A member announced itself: no host of its name is lost. It has some services more, and some less. */
  seen(machine: string, added: readonly RegistryRecord[] = [], removed: readonly RegistryRecord[] = []): void {
    this.ended.changed(machine, added, removed)
    for (const [peer, { last }] of this.#lost) if (last.machine === machine) this.#lost.delete(peer)
  }

  /** The registry dropped a host. Only some causes are a loss. */
  dropped(last: OwnerView, cause: string, records: readonly RegistryRecord[]): void {
    const reason = REASONS[cause]
    if (reason === undefined) return
    const served = records
      .filter(({ protocols }) => protocols.length > 0)
      .sort((one, other) => (formatAddress(one.address) < formatAddress(other.address) ? -1 : 1))
      .slice(0, MAX_LOST_SERVICES)
    this.#lost.delete(last.peer)
    this.#lost.set(last.peer, { sinceMs: this.#clock.wallMs(), reason, last, served })
    const [first] = this.#lost.keys()
    if (this.#lost.size > MAX_LOST_HOSTS && first !== undefined) this.#lost.delete(first)
  }

  /** Those of the last day, newest first. */
  all(): LostHost[] {
    const fromMs = this.#clock.wallMs() - LOST_MS
    for (const [peer, { sinceMs }] of this.#lost) if (sinceMs < fromMs) this.#lost.delete(peer)
    return [...this.#lost.values()].reverse()
  }

  /** Forgets the lost hosts of this name; returns the one that was lost last, undefined if there is none. */
  forget(machine: string): LostHost | undefined {
    const named = this.all().filter(({ last }) => last.machine === machine)
    for (const { last } of named) this.#lost.delete(last.peer)
    return named[0]
  }
}
