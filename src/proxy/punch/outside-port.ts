import { randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import {
  type Clock,
  ErrorCode,
  type HostPort,
  raceAbort,
  raceStaggered,
  sleep,
  WarrenError,
  within
} from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { isPrivate, whyNotPunched } from './candidates.ts'
import type { PunchDeps } from './deps.ts'
import { decodeSeen, encodePreamble, encodeSeenAsk, proofOf, TOKEN_BYTES } from './format.ts'
import {
  MAX_RENDEZVOUS_TRIED,
  OBSERVER_STAGGER_MS,
  PROOF_REPEATS_MS,
  SEEN_AGE_MS,
  SEEN_ASK_TIMEOUT_MS,
  SEEN_TIMEOUT_MS
} from './limits.ts'

/** The UDP side of the data port. */
export interface DatagramPort {
  /** Undefined while it is not bound. */
  readonly localPort: number | undefined
  readonly canReach: (remote: { readonly address: string; readonly port: number }) => boolean
  readonly send: (packet: Buffer, to: { readonly address: string; readonly port: number }) => boolean
}

/** Where the datagrams of this host come from, as another member sees it. */
export interface Outside {
  readonly end: HostPort
  /** The port that this host has bound. */
  readonly localPort: number
}

export type Family = 4 | 6

export interface OutsidePortOptions {
  readonly deps: Pick<PunchDeps, 'peer' | 'seen' | 'observersFor' | 'dataPortsOf' | 'machineOf'>
  readonly port: DatagramPort
  readonly clock: Clock
  readonly stopping: AbortSignal
}

/**
 * Finds out at which address and port the UDP data port of this host is seen from outside: a member that it sends a proof to says
 * so over the mesh. What is known is used for some seconds, by all sessions.
 */
export class OutsidePort {
  readonly #options: OutsidePortOptions
  /** By family; zero: whichever comes first. */
  readonly #known = new Map<Family | 0, { readonly outside: Promise<Outside>; readonly sinceMs: number }>()

  constructor(options: OutsidePortOptions) {
    this.#options = options
  }

  /** Whether a member could tell, and the agent `peer` is told such addresses. */
  canLearn(peer: PeerKey): boolean {
    return this.#options.port.localPort !== undefined && this.#options.deps.observersFor(peer).length > 0
  }

  /**
   * Resolves with the address of this host outside, of `family` if one is wanted, for the agent `peer`. Rejects with
   * DESTINATION_UNREACHABLE or the reason of the signal.
   */
  async learn(peer: PeerKey, family: Family | undefined, signal: AbortSignal): Promise<Outside> {
    const { clock, stopping } = this.#options
    const key = family ?? 0
    const known = this.#known.get(key)
    if (known !== undefined && clock.monotonicMs() - known.sinceMs < SEEN_AGE_MS) {
      return await raceAbort(known.outside, signal)
    }
    // Not bound to the first caller's signal: others may be waiting for the same answer.
    const outside = within(SEEN_TIMEOUT_MS, [stopping], limit => this.#learn(peer, family, limit))
    const entry = { outside, sinceMs: clock.monotonicMs() }
    this.#known.set(key, entry)
    outside.catch(() => {
      if (this.#known.get(key) === entry) this.#known.delete(key)
    })
    return await raceAbort(outside, signal)
  }

  /** Finds out anew for whoever asks next: what was known has led nowhere. */
  forget(): void {
    this.#known.clear()
  }

  async #learn(peer: PeerKey, family: Family | undefined, signal: AbortSignal): Promise<Outside> {
    const { deps, port } = this.#options
    const { localPort } = port
    if (localPort === undefined) throw unreachable('no UDP at the data port of this host')
    const members = deps.observersFor(peer).flatMap(member => {
      const end = deps.dataPortsOf(member).find(({ host }) => family === undefined || isIP(host) === family)
      if (end === undefined || !port.canReach({ address: end.host, port: end.port })) return []
      // In a room with a member, this host is seen as the hosts of that room see it.
      return [{ member, end, order: Math.random() + (isPrivate(end.host) ? 1 : 0) }]
    })
    if (members.length === 0)
      throw unreachable('no third member is connected that could see where its datagrams come from')
    const attempts = members
      .sort((one, other) => one.order - other.order)
      .slice(0, MAX_RENDEZVOUS_TRIED)
      .map(({ member, end }) => async (limit: AbortSignal) => {
        try {
          return { end: await this.#ask(member, end, limit), localPort }
        } catch (err) {
          signal.throwIfAborted()
          throw unreachable(
            `${deps.machineOf(member)} does not see its datagrams: ${WarrenError.from(err).reason}`,
            err
          )
        }
      })
    return await raceStaggered(attempts, OBSERVER_STAGGER_MS, signal, () => {})
  }

  async #ask(member: PeerKey, { host, port: number }: HostPort, signal: AbortSignal): Promise<HostPort> {
    const { deps, port } = this.#options
    const token = randomBytes(TOKEN_BYTES)
    const packet = encodePreamble(proofOf(token, deps.peer, member, 'udp'))
    return await within(SEEN_ASK_TIMEOUT_MS, [signal], async limit => {
      const answered = new AbortController()
      // A datagram may be lost, or come before the member knows that it must look for it.
      const sending = within(SEEN_ASK_TIMEOUT_MS, [answered.signal, limit], async until => {
        for (const pauseMs of PROOF_REPEATS_MS) {
          await sleep(pauseMs, until)
          port.send(packet, { address: host, port: number })
        }
      }).catch(() => {})
      try {
        const own = decodeSeen(await deps.seen(member, encodeSeenAsk(token), limit))
        // Else a member could have this host taken for one of a private network, where others may then name addresses to it.
        const why = isIP(own.host) === isIP(host) ? foreign(own, host) : 'it is of another family'
        if (why !== undefined) throw unreachable(`it names ${own.host} for this host: ${why}`)
        return own
      } finally {
        answered.abort()
        await sending
      }
    })
  }
}

function foreign(own: HostPort, memberHost: string): string | undefined {
  return isPrivate(own.host) ? whyNotPunched(own, memberHost) : undefined
}

function unreachable(reason: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.DestinationUnreachable, reason, { cause })
}
