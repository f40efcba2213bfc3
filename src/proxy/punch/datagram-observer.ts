import { ErrorCode, type HostPort, type Metrics, raceAbort, WarrenError, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { AskBounds } from './ask-bounds.ts'
import type { PunchDeps } from './deps.ts'
import { decodePreamble, decodeSeenAsk, encodeSeen, proofOf } from './format.ts'
import { PROOF_TIMEOUT_MS } from './limits.ts'

export interface DatagramObserverOptions {
  readonly deps: Pick<PunchDeps, 'peer'>
  readonly bounds: AskBounds
  readonly metrics: Metrics
  readonly stopping: AbortSignal
}

/**
 * Tells members from where the datagrams of their data ports come.
 *
 * Only a proof that a member has announced over the mesh before is looked at. Nothing is answered to a datagram, and nothing is kept
 * of it: whoever forges the source of one reaches nobody with it.
 */
export class DatagramObserver {
  readonly #options: DatagramObserverOptions
  /** By the proof that is awaited; bounded by the places of asks. */
  readonly #waiting = new Map<string, (end: HostPort) => void>()

  constructor(options: DatagramObserverOptions) {
    this.#options = options
  }

  /** Takes a datagram at the data port that is no packet of a session. */
  readonly received = (bytes: Buffer, from: () => { readonly address: string; readonly port: number }): void => {
    if (this.#waiting.size === 0) return
    const proof = decodePreamble(bytes)
    const arrived = proof === undefined ? undefined : this.#waiting.get(proof.toString('latin1'))
    if (arrived === undefined) return
    const { address, port } = from()
    arrived({ host: address, port })
  }

  /** Answers an ask of the agent `peer` once its proof has come. Rejects with MESSAGE_MALFORMED, LIMIT_EXCEEDED or TIMEOUT. */
  async asked(peer: PeerKey, request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const token = decodeSeenAsk(request)
    const { deps, bounds, metrics, stopping } = this.#options
    const release = bounds.take(peer)
    const key = proofOf(token, peer, deps.peer, 'udp').toString('latin1')
    const arrived = Promise.withResolvers<HostPort>()
    this.#waiting.set(key, arrived.resolve)
    try {
      const end = await within(PROOF_TIMEOUT_MS, [signal, stopping], limit => raceAbort(arrived.promise, limit))
      metrics.count('warren_punched_datagrams_total', { role: 'observer', result: 'ok' })
      return encodeSeen(end)
    } catch (err) {
      metrics.count('warren_punched_datagrams_total', { role: 'observer', result: 'failed' })
      if (!(err instanceof DOMException && err.name === 'TimeoutError')) throw err
      throw new WarrenError(ErrorCode.Timeout, 'no datagram to its data port came in time')
    } finally {
      this.#waiting.delete(key)
      release()
    }
  }
}
