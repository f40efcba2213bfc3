import type { Socket } from 'node:net'
import { connectTcp, ErrorCode, type HostPort, sleep, systemCode, WarrenError, within } from '../../core/index.ts'
import { MAX_PUNCH_ATTEMPTS, PUNCH_PAUSE_MS, PUNCH_TIMEOUT_MS } from './limits.ts'

/** This end of a connection that is wanted: a port that is bound already, and the address in the form that binds it again. */
export interface LocalEnd {
  readonly localAddress: string
  readonly localPort: number
}

const HOW = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 }
/** The other host, or a NAT, has answered that there is nothing: too early, if its own attempt is still to come. */
const TOO_EARLY: readonly (string | undefined)[] = ['ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'EADDRNOTAVAIL']

/**
 * Connects from a bound port to an end that connects to this one at the same moment (RFC 9293, 3.5: simultaneous open).
 *
 * The first packet of each side makes its own NAT expect the other's. Rejects with DESTINATION_UNREACHABLE when no connection came
 * about in time, or with the reason of the signal.
 */
export async function connectBoth(end: HostPort, local: LocalEnd, signal: AbortSignal): Promise<Socket> {
  try {
    return await within(PUNCH_TIMEOUT_MS, [signal], async limit => {
      for (let attempts = 1; ; attempts += 1) {
        try {
          return await connectTcp({ ...end, ...local, ...HOW }, limit)
        } catch (err) {
          limit.throwIfAborted()
          if (attempts === MAX_PUNCH_ATTEMPTS || !TOO_EARLY.includes(systemCode(err))) throw err
          // Random, so that two ends that refuse each other do not stay in step.
          await sleep(PUNCH_PAUSE_MS * (1 + attempts * Math.random()), limit)
        }
      }
    })
  } catch (cause) {
    signal.throwIfAborted()
    const how = systemCode(cause) === 'ECONNREFUSED' ? ': a NAT, or that host, refuses it' : ''
    throw new WarrenError(ErrorCode.DestinationUnreachable, `no connection came about${how}`, { cause })
  }
}
