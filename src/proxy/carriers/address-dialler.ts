import { LruMap, raceStaggered, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { DIAL_TIMEOUT_MS, STAGGER_MS } from '../timing.ts'
import { type Dialled, type DialOptions, dialAddress } from '../tls/index.ts'

/** Maximum of addresses of one agent that are tried: as many as it announces. */
const MAX_ADDRESSES = 16
/** With many addresses the attempts begin closer together, so that the last one still has time; RFC 8305 allows 100 ms. */
const MIN_STAGGER_MS = 100
/** Time in which all attempts begin, if they can. */
const SPREAD_MS = 1_600
/** Agents whose last address that led to them is remembered. */
const MAX_REMEMBERED = 2_048

/**
 * Opens sessions at one of the addresses of an agent, each tried a little after the one before. The first that answers is used, and
 * is the first to be dialled next time.
 */
export class AddressDialler {
  readonly #lastGood = new LruMap<PeerKey, string>(MAX_REMEMBERED)

  async dial(peer: PeerKey, all: readonly string[], options: DialOptions, signal: AbortSignal): Promise<Dialled> {
    const announced = all.slice(0, MAX_ADDRESSES)
    const good = this.#lastGood.get(peer)
    const addresses = [...announced].sort((a, b) => Number(b === good) - Number(a === good))
    const attempts = addresses.map(address => async (limit: AbortSignal) => ({
      ...(await dialAddress(address, options, limit)),
      address
    }))
    const staggerMs = Math.max(MIN_STAGGER_MS, Math.min(STAGGER_MS, SPREAD_MS / attempts.length))
    const { address, ...dialled } = await within(DIAL_TIMEOUT_MS, [signal], limit =>
      raceStaggered(attempts, staggerMs, limit, late => late.session.destroy())
    )
    this.#lastGood.set(peer, address)
    return dialled
  }
}
