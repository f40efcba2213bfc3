import type { Clock } from '../core/index.ts'
import { type Address, formatAddress, matches, type Pattern } from '../identity/index.ts'
import type { RegistryRecord } from '../registry/index.ts'

/** A service whose registration ended while its host stayed a member. */
export interface EndedService {
  readonly address: Address
  readonly sinceMs: number
  /** Why; empty where only its host knows. */
  readonly reason: string
}

const ENDED_MS = 86_400_000
/** Remembered of one host: what one host registers and ends again pushes out nothing of others. */
const MAX_OF_HOST = 32
const MAX_HOSTS = 1_024

/** Remembers in memory, for a day, the services that other hosts no longer have. */
export class EndedServices {
  readonly #clock: Pick<Clock, 'wallMs'>
  readonly #hosts = new Map<string, Map<string, EndedService>>()

  constructor(clock: Pick<Clock, 'wallMs'>) {
    this.#clock = clock
  }

  /** A member has these records from now on, and not those. */
  changed(machine: string, added: readonly RegistryRecord[], removed: readonly RegistryRecord[]): void {
    const known = this.#hosts.get(machine)
    for (const { address } of added) known?.delete(formatAddress(address))
    const held = new Set(added.map(({ registrationId }) => registrationId))
    const ended = removed.filter(one => one.protocols.length > 0 && !held.has(one.registrationId)).slice(-MAX_OF_HOST)
    if (ended.length === 0) return
    const all = known ?? new Map<string, EndedService>()
    const sinceMs = this.#clock.wallMs()
    for (const { address } of ended) keep(all, formatAddress(address), { address, sinceMs, reason: '' }, MAX_OF_HOST)
    keep(this.#hosts, machine, all, MAX_HOSTS)
  }

  /** Those of the last day that match, newest first. */
  matching(pattern: Pattern): EndedService[] {
    const fromMs = this.#clock.wallMs() - ENDED_MS
    return [...this.#hosts.values()]
      .flatMap(known => [...known.values()])
      .filter(({ address, sinceMs }) => sinceMs >= fromMs && matches(pattern, address))
      .sort((one, other) => other.sinceMs - one.sinceMs)
  }
}

// The oldest goes for a new one.
function keep<V>(map: Map<string, V>, key: string, value: V, max: number): void {
  map.delete(key)
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > max && oldest !== undefined) map.delete(oldest)
}
