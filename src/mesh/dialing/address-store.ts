import type { PeerKey } from '../../identity/index.ts'
import {
  HEAD_START_MS,
  HINT_ATTEMPTS,
  HURRY_SPREAD_MS,
  MAX_ADDRESSES_PER_PEER,
  MAX_HINTED_PEERS,
  MAX_KNOWN_PEERS
} from '../limits.ts'
import type { PeerAddress } from './addresses.ts'
import { ringPositions } from './rings.ts'

/**
 * The source of our knowledge of a host. A seed is configured and never forgotten; a member was named by an admitted host; a
 * hint is an answer on the local network, which anybody can give.
 */
export type AddressSource = 'seed' | 'member' | 'hint'

/** One host to be dialled, or one address of which we do not know who is there. */
export interface DialTarget {
  readonly key: string
  readonly peer: PeerKey | undefined
  /** Its places on the rings; empty if the address does not name a host. */
  readonly positions: Uint32Array
  /** The host that answered there last, if the address does not name one. */
  resolved: PeerKey | undefined
  source: AddressSource
  /** Best first: the one that worked last, then the latest learned. */
  addresses: string[]
  failures: number
  /** Not to be dialled before this monotonic time. */
  notBeforeMs: number
  /** Last time we were connected; decides which host is forgotten when the store is full. */
  lastConnectedMs: number
}

/**
 * How long the host with the larger key waits for the other to dial, in milliseconds: two members usually learn of each
 * other at the same moment, and if both dial, one of the two handshakes is wasted.
 */
export function headStartMs(self: PeerKey, peer: PeerKey): number {
  return self < peer ? 0 : HEAD_START_MS
}

const RANK: Record<AddressSource, number> = { seed: 2, member: 1, hint: 0 }

/**
 * The hosts that we can dial, and their addresses. Pure, and bounded: at most 8,192 hosts, of which at most 64 by hint, at most
 * sixteen addresses each. Seeds are exempt from these limits, since the operator wrote them.
 */
export class AddressStore {
  readonly #self: PeerKey
  readonly #targets = new Map<string, DialTarget>()

  constructor(self: PeerKey) {
    this.#self = self
  }

  /** Adds an address. The source of a host only ever rises. Our own addresses are left out. */
  add({ address, peer }: PeerAddress, source: AddressSource, nowMs: number): void {
    if (peer === this.#self) return
    const key = peer ?? address
    let target = this.#targets.get(key)
    if (target === undefined) {
      if (source !== 'seed' && !this.#makeRoom(source)) return
      target = {
        key,
        peer,
        positions: peer === undefined ? new Uint32Array() : ringPositions(peer),
        resolved: undefined,
        source,
        addresses: [],
        failures: 0,
        notBeforeMs: source === 'member' && peer !== undefined ? nowMs + headStartMs(this.#self, peer) : nowMs,
        lastConnectedMs: Number.NEGATIVE_INFINITY
      }
      this.#targets.set(key, target)
    }
    // An address that anybody can claim must not replace an address from an admitted host.
    const full = target.addresses.length >= MAX_ADDRESSES_PER_PEER
    if (!target.addresses.includes(address) && !(full && RANK[source] < RANK[target.source])) {
      const keep = source === 'hint' ? [...target.addresses, address] : [address, ...target.addresses]
      target.addresses = keep.slice(0, MAX_ADDRESSES_PER_PEER)
      // A new address is a new chance.
      target.notBeforeMs = Math.min(target.notBeforeMs, nowMs)
    }
    if (RANK[source] > RANK[target.source]) target.source = source
  }

  /** Everybody, seeds first. */
  targets(): DialTarget[] {
    return [...this.#targets.values()].sort((a, b) => RANK[b.source] - RANK[a.source])
  }

  find(peer: PeerKey): DialTarget | undefined {
    return this.#targets.get(peer)
  }

  /** The number of known hosts of the mesh, without us. Hints do not count. */
  members(): number {
    let count = 0
    for (const target of this.#targets.values()) {
      if (target.peer !== undefined && target.source !== 'hint') count += 1
    }
    return count
  }

  forget(peer: PeerKey): void {
    this.#targets.delete(peer)
  }

  /** `address` led to the host: it is the first to try from now on. */
  succeeded(target: DialTarget, address: string | undefined, nowMs: number): void {
    // A link that is back mostly leads to more than one host; each would otherwise be found after a wait of its own.
    if (target.failures > 0) this.hurry(nowMs, target)
    target.failures = 0
    target.lastConnectedMs = nowMs
    if (target.source === 'hint') target.source = 'member'
    if (address === undefined) return
    target.addresses = [address, ...target.addresses.filter(other => other !== address)]
  }

  /** None of the addresses led to the host. A hint is dropped after a few times. */
  failed(target: DialTarget, notBeforeMs: number): void {
    target.failures += 1
    target.notBeforeMs = notBeforeMs
    if (target.source === 'hint' && target.failures >= HINT_ATTEMPTS) this.#targets.delete(target.key)
  }

  /** Makes all hosts that could not be reached due within a second; `found` is one that now is. */
  hurry(nowMs: number, found?: DialTarget): void {
    const lost = [...this.#targets.values()].filter(target => target !== found && target.failures > 0)
    for (const [at, target] of lost.entries()) {
      target.notBeforeMs = Math.min(target.notBeforeMs, nowMs + (HURRY_SPREAD_MS * at) / lost.length)
    }
  }

  #makeRoom(source: AddressSource): boolean {
    const same = [...this.#targets.values()].filter(
      target => target.source !== 'seed' && (source === 'hint') === (target.source === 'hint')
    )
    const max = source === 'hint' ? MAX_HINTED_PEERS : MAX_KNOWN_PEERS
    if (same.length < max) return true
    // A flood of hints must not replace the hosts that are being dialled; a new member is worth more than a lost one.
    if (source === 'hint') return false
    const oldest = same.reduce((a, b) => (b.lastConnectedMs < a.lastConnectedMs ? b : a))
    this.#targets.delete(oldest.key)
    return true
  }
}
