import { connect } from 'node:net'
import { parseHostPort, raceAbort, raceStaggered, within } from '../../core/index.ts'
import { DIAL_TIMEOUT_MS, DIRECT_BACKOFF_MAX_MS, DIRECT_BACKOFF_MS, STAGGER_MS } from '../timing.ts'
import { dialAddress } from '../tls/index.ts'
import type { Carrier, Path } from './carrier.ts'

/** Maximum of addresses of one agent that are tried. */
const MAX_ADDRESSES = 8
/** How many of these are probed. */
const MAX_PROBED = 4

/** A TCP connection to the data port of the other agent. */
export const DIRECT_PATH: Path = Object.freeze({
  name: 'direct',
  allows: Object.freeze({ fastPath: true, datagrams: true, unauthenticated: true })
})

/**
 * Dials the data addresses that the other agent announces, each a little after the one before. The first that answers
 * is used.
 */
export function direct(): Carrier {
  return {
    name: DIRECT_PATH.name,
    rank: 0,
    backoff: { firstMs: DIRECT_BACKOFF_MS, longestMs: DIRECT_BACKOFF_MAX_MS },
    isLastResort: false,
    allows: DIRECT_PATH.allows,
    canReach: ({ dataAddresses }) => dataAddresses.length > 0,
    probesLast: false,
    probes: ({ dataAddresses }) =>
      dataAddresses.slice(0, MAX_PROBED).map(address => ({ address, run: signal => knock(address, signal) })),
    async dial({ dataAddresses }, options, signal) {
      const attempts = dataAddresses
        .slice(0, MAX_ADDRESSES)
        .map(address => (limit: AbortSignal) => dialAddress(address, options, limit))
      const dialled = await within(DIAL_TIMEOUT_MS, [signal], limit =>
        raceStaggered(attempts, STAGGER_MS, limit, late => late.session.destroy())
      )
      return { ...dialled, path: DIRECT_PATH }
    }
  }
}

// The listener there need not be an agent: a session finds that out.
async function knock(address: string, signal: AbortSignal): Promise<string> {
  const socket = connect(parseHostPort(address))
  const connected = Promise.withResolvers<void>()
  socket.once('connect', connected.resolve).on('error', connected.reject)
  try {
    await raceAbort(connected.promise, signal)
    return DIRECT_PATH.name
  } finally {
    socket.destroy()
  }
}
