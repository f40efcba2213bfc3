import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { ErrorCode, raceAbort, raceStaggered, WarrenError, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import {
  CARRIER_TIMEOUT_MS,
  RELAY_BACKOFF_MAX_MS,
  RELAY_BACKOFF_MS,
  RELAY_STAGGER_MS,
  RELAYED_TIMEOUT_MS
} from '../timing.ts'
import { type DialOptions, openSession } from '../tls/index.ts'
import type { Allowed, Carried, Carrier, Path } from './carrier.ts'

/** A member that may join a connection of this host with one of another. */
export interface Relay {
  readonly peer: PeerKey
  readonly machine: string
}

/** Asks members to join TCP connections. */
export interface RelayClient {
  /** Members to ask for an agent, best first. Empty if none joins connections with it. */
  readonly relaysTo: (wanted: PeerKey) => readonly Relay[]
  /** Notes that a relay has led to an agent. */
  readonly worked: (wanted: PeerKey, relay: Relay) => void
  /** Resolves with a TCP connection to the relay, which joins it with one of the agent, or closes it. */
  readonly connect: (
    relay: PeerKey,
    wanted: PeerKey,
    sourceId: string | undefined,
    signal: AbortSignal
  ) => Promise<Socket>
}

export interface RelayCarrierDeps {
  readonly relays: RelayClient
  /** Opens a stream to the agent `peer` through a third member, which is trusted only to pass the bytes on. */
  readonly openRelayed: (
    peer: PeerKey,
    options: { readonly signal: AbortSignal }
  ) => Promise<{ readonly stream: Duplex; readonly via: string }>
  /** The machine of a member that reaches the agent `peer` now. Rejects when there is none. */
  readonly helperFor: (peer: PeerKey) => Promise<string>
}

const ALLOWED_ON_STREAMS: Allowed = Object.freeze({
  fastPath: false,
  datagrams: false,
  identification: false,
  unauthenticated: false
})
const ALLOWED: Allowed = Object.freeze({ ...ALLOWED_ON_STREAMS, fastPath: true })

/** A stream of the mesh that the machine `via` passes on. */
export function relayedStreamPath(via: string): Path {
  return { name: `relay via ${via}`, allows: ALLOWED_ON_STREAMS }
}

/** TCP connections of both agents with the machine `via`, which joins them. */
export function relayPath(via: string): Path {
  return { name: `relay via ${via}`, allows: ALLOWED }
}

/** Asks other members to pass on a TCP connection, and if none does, a stream. */
export function relay({ relays, openRelayed, helperFor }: RelayCarrierDeps): Carrier {
  async function joined(wanted: PeerKey, options: DialOptions, signal: AbortSignal): Promise<Carried> {
    const attempts = relays.relaysTo(wanted).map(one => async (limit: AbortSignal) => {
      const connect = (other: AbortSignal) => relays.connect(one.peer, wanted, options.sourceId, other)
      const dialled = await openSession(await connect(limit), options, limit)
      return { carried: { ...dialled, connectBeside: connect, path: relayPath(one.machine) }, one }
    })
    if (attempts.length === 0)
      throw new WarrenError(ErrorCode.DestinationUnreachable, 'no member joins connections with it')
    const { carried, one } = await within(RELAYED_TIMEOUT_MS, [signal], limit =>
      raceStaggered(attempts, RELAY_STAGGER_MS, limit, late => late.carried.session.destroy())
    )
    relays.worked(wanted, one)
    return carried
  }

  async function overStream(wanted: PeerKey, options: DialOptions, signal: AbortSignal): Promise<Carried> {
    const { stream, via } = await openRelayed(wanted, { signal })
    return { ...(await openSession(stream, options, signal)), path: relayedStreamPath(via) }
  }

  return {
    name: 'relay',
    rank: 4,
    backoff: { firstMs: RELAY_BACKOFF_MS, longestMs: RELAY_BACKOFF_MAX_MS },
    isLastResort: false,
    isDetour: true,
    allows: ALLOWED,
    canReach: () => true,
    probedIf: 'none other reaches',
    probes: ({ peer }) => [{ run: async signal => relayPath(await raceAbort(helperFor(peer), signal)).name }],
    dial: ({ peer }, options, signal) =>
      within(CARRIER_TIMEOUT_MS, [signal], async limit => {
        try {
          return await joined(peer, options, limit)
        } catch (err) {
          if (limit.aborted) throw err
          return await overStream(peer, options, limit)
        }
      })
  }
}
