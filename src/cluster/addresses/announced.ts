import { networkInterfaces } from 'node:os'
import { isLoopback, type Logger } from '../../core/index.ts'
import { DEFAULT_LIMITS } from '../../registry/index.ts'
import { type Choice, chooseHosts, type Interfaces } from './reachable.ts'

export interface AnnouncedHostsDeps {
  /** Hosts that the operator has named. They replace those of the interfaces. */
  readonly advertise: readonly string[] | undefined
  /** @default the interfaces of this machine */
  readonly interfaces?: () => Interfaces
  readonly log: Logger
}

/** Number of left-out addresses that are shown and logged by name; a machine may have thousands. */
export const MAX_SHOWN_LEFT_OUT = 64

/**
 * The hosts under which this one is announced: never more than others accept, and in the same order each time.
 *
 * The interfaces are read each time. Addresses without room are logged, once for each change, and kept for `status`.
 */
export class AnnouncedHosts {
  readonly #deps: AnnouncedHostsDeps
  /** By the address that a listener is bound to; there are two listeners. */
  readonly #last = new Map<string, Choice>()
  /** The listeners that no other host can reach. */
  readonly #hidden = new Set<string>()

  constructor(deps: AnnouncedHostsDeps) {
    this.#deps = deps
  }

  /** The hosts for a listener that is bound to this address, best first. */
  of(bound: string): readonly string[] {
    const { advertise, interfaces = networkInterfaces, log } = this.#deps
    if (advertise !== undefined && advertise.length > 0) return advertise
    const { maxAddresses: limit } = DEFAULT_LIMITS
    const last = this.#last.get(bound)
    const choice = chooseHosts(bound, interfaces(), limit, last?.hosts)
    this.#last.set(bound, choice)
    const { hosts, leftOut } = choice
    if (!sameSet(leftOut, last?.leftOut ?? [])) {
      const addresses = leftOut.slice(0, MAX_SHOWN_LEFT_OUT)
      if (leftOut.length > 0)
        log.warn('addresses left out', { address: bound, count: leftOut.length, limit, addresses })
      else log.info('all addresses are announced again', { address: bound, count: hosts.length })
    }
    this.#noteReachable(bound, hosts)
    return hosts
  }

  #noteReachable(bound: string, hosts: readonly string[]): void {
    const { log } = this.#deps
    const isHidden = hosts.every(isLoopback)
    if (isHidden === this.#hidden.has(bound)) return
    if (isHidden) {
      this.#hidden.add(bound)
      log.warn('no other host can reach this one: only loopback addresses are announced', { address: bound })
    } else {
      this.#hidden.delete(bound)
      log.info('addresses that other hosts can reach are announced', { address: bound, addresses: hosts })
    }
  }

  /** Addresses of this host that there was no room to announce. */
  get leftOut(): readonly string[] {
    return [...new Set([...this.#last.values()].flatMap(({ leftOut }) => leftOut))]
  }
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && new Set([...a, ...b]).size === a.length
}
