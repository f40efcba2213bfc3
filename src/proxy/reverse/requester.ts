import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { accountOf, type LocalUser } from '../../attest/index.ts'
import { type Metrics, Quota, raceAbort, type UnprovenPlace, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { limitExceeded } from '../limits.ts'
import { FIRST_BYTE_TIMEOUT_MS, REVERSE_ASK_TIMEOUT_MS } from '../timing.ts'
import type { ReverseDeps } from './deps.ts'
import { decodePreamble, PREAMBLE_BYTES, proofOf, TOKEN_BYTES } from './format.ts'
import { MAX_REVERSE_WAITING, MAX_REVERSE_WAITING_PER_USER } from './limits.ts'
import { TokenBatches } from './token-batches.ts'

export interface ReverseRequesterOptions {
  readonly deps: Pick<ReverseDeps, 'peer' | 'ask'>
  /** The user of a registration of this host. @default one share for all */
  readonly userOf?: ((registrationId: string) => LocalUser | undefined) | undefined
  readonly metrics: Metrics
  readonly stopping: AbortSignal
}

/**
 * Asks other agents to connect to the data port of this host, and recognises those connections when they arrive.
 *
 * A connection that arrives proves nothing but that its dialler knows the token: who is at its other end must be proved on it.
 */
export class ReverseRequester {
  readonly #peer: PeerKey
  readonly #batches: TokenBatches
  readonly #metrics: Metrics
  readonly #userOf: NonNullable<ReverseRequesterOptions['userOf']>
  /** By the proof that the connection will begin with. Each is used once. */
  readonly #waiting = new Map<string, (socket: Socket) => void>()
  readonly #places = new Quota<string>(MAX_REVERSE_WAITING_PER_USER, MAX_REVERSE_WAITING)

  constructor({ deps, userOf = () => undefined, metrics, stopping }: ReverseRequesterOptions) {
    this.#peer = deps.peer
    this.#userOf = userOf
    this.#metrics = metrics
    this.#batches = new TokenBatches((peer, tokens) =>
      within(REVERSE_ASK_TIMEOUT_MS, [stopping], signal => deps.ask(peer, tokens, signal))
    )
  }

  /**
   * Resolves with a TCP connection that the agent `peer` has made to this host, and on which nobody has sent anything yet but its
   * preamble. `sourceId`: the registration that it is for, undefined for the agent. Rejects with LIMIT_EXCEEDED, the agent's
   * refusal or the reason of the signal.
   */
  async connect(peer: PeerKey, sourceId: string | undefined, signal: AbortSignal): Promise<Socket> {
    signal.throwIfAborted()
    const release = this.takePlace(sourceId)
    const token = randomBytes(TOKEN_BYTES)
    const key = keyOf(proofOf({ token, requester: this.#peer, dialler: peer }))
    const arrived = Promise.withResolvers<Socket>()
    this.#waiting.set(key, arrived.resolve)
    // The connection may overtake the answer.
    this.#batches.ask(peer, token).catch(arrived.reject)
    try {
      const socket = await raceAbort(arrived.promise, signal)
      this.#count('ok')
      return socket
    } catch (err) {
      arrived.promise.then(
        late => late.destroy(),
        () => {}
      )
      this.#count('failed')
      throw err
    } finally {
      this.#waiting.delete(key)
      release()
    }
  }

  /**
   * Serves a connection whose first byte is that of a reverse connection and has not been consumed. It keeps `place`, that of a
   * peer that has not proved itself, until its preamble matches; one that does not match in time is closed without an answer.
   */
  accept(socket: Socket, place: UnprovenPlace): void {
    const timer = setTimeout(() => socket.destroy(), FIRST_BYTE_TIMEOUT_MS)
    const take = (): void => {
      const bytes: Buffer | null = socket.read(PREAMBLE_BYTES)
      if (bytes === null) return
      socket.off('readable', take)
      clearTimeout(timer)
      const waiting = this.#waitingFor(bytes)
      if (waiting === undefined) {
        socket.destroy()
        return
      }
      place.release()
      waiting(socket)
    }
    socket.once('close', () => clearTimeout(timer))
    socket.on('readable', take)
    take()
  }

  /** A place among the connections that this agent waits for. Throws LIMIT_EXCEEDED. */
  takePlace(sourceId: string | undefined): () => void {
    const user = sourceId === undefined ? undefined : this.#userOf(sourceId)
    const account = user === undefined ? '' : accountOf(user)
    const release = this.#places.take(account)
    if (release !== undefined) return release
    const what = 'connections asked for'
    if (this.#places.size >= MAX_REVERSE_WAITING)
      throw limitExceeded(this.#metrics, 'proxy_reverse_waiting', what, MAX_REVERSE_WAITING)
    const limit = MAX_REVERSE_WAITING_PER_USER
    throw limitExceeded(
      this.#metrics,
      'proxy_reverse_waiting_per_user',
      `${what} for one user`,
      limit,
      user && { uid: user.uid }
    )
  }

  #waitingFor(bytes: Buffer): ((socket: Socket) => void) | undefined {
    const proof = decodePreamble(bytes)
    if (proof === undefined) return undefined
    const key = keyOf(proof)
    const waiting = this.#waiting.get(key)
    this.#waiting.delete(key)
    if (waiting === undefined) this.#count('unknown')
    return waiting
  }

  #count(result: 'ok' | 'failed' | 'unknown'): void {
    this.#metrics.count('warren_reverse_connections_total', { role: 'requester', result })
  }
}

function keyOf(proof: Buffer): string {
  return proof.toString('latin1')
}
