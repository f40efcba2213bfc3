import { LruMap, raceStaggered, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { DIAL_TIMEOUT_MS, DIRECT_BACKOFF_MAX_MS, DIRECT_BACKOFF_MS, STAGGER_MS } from '../timing.ts'
import { dialAddress } from '../tls/index.ts'
import type { Carrier, Path } from './carrier.ts'
import { type IdentifyDeps, identify } from './identify.ts'

/** Maximum of addresses of one agent that are tried: as many as it announces. */
const MAX_ADDRESSES = 16
/** With many addresses the attempts begin closer together, so that the last one still has time; RFC 8305 allows 100 ms. */
const MIN_STAGGER_MS = 100
/** Time in which all attempts begin, if they can. */
const SPREAD_MS = 1_600
/** Agents whose last address that led to them is remembered. */
const MAX_REMEMBERED = 2_048
/** How many of these are probed. */
const MAX_PROBED = 4

/** A TCP connection to the data port of the other agent. */
export const DIRECT_PATH: Path = Object.freeze({
  name: 'direct',
  allows: Object.freeze({ fastPath: true, datagrams: true, identification: true, unauthenticated: true })
})

/**
 * Dials the data addresses that the other agent announces, each a little after the one before. The first that answers
 * is used, and is the first to be dialled next time.
 */
export function direct(deps: IdentifyDeps): Carrier {
  const lastGood = new LruMap<PeerKey, string>(MAX_REMEMBERED)
  return {
    name: DIRECT_PATH.name,
    rank: 0,
    backoff: { firstMs: DIRECT_BACKOFF_MS, longestMs: DIRECT_BACKOFF_MAX_MS },
    isLastResort: false,
    allows: DIRECT_PATH.allows,
    canReach: ({ dataAddresses }) => dataAddresses.length > 0,
    probedIf: 'always',
    probes: agent =>
      agent.dataAddresses.slice(0, MAX_PROBED).map(address => ({
        address,
        run: signal => identify(address, agent, deps, signal).then(() => DIRECT_PATH.name)
      })),
    async dial({ peer, dataAddresses }, options, signal) {
      const announced = dataAddresses.slice(0, MAX_ADDRESSES)
      const good = lastGood.get(peer)
      const addresses = [...announced].sort((a, b) => Number(b === good) - Number(a === good))
      const attempts = addresses.map(address => async (limit: AbortSignal) => ({
        ...(await dialAddress(address, options, limit)),
        address
      }))
      const staggerMs = Math.max(MIN_STAGGER_MS, Math.min(STAGGER_MS, SPREAD_MS / attempts.length))
      const { address, ...dialled } = await within(DIAL_TIMEOUT_MS, [signal], limit =>
        raceStaggered(attempts, staggerMs, limit, late => late.session.destroy())
      )
      lastGood.set(peer, address)
      return { ...dialled, path: DIRECT_PATH }
    }
  }
}
