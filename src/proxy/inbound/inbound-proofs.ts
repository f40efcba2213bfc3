import type { ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { ErrorCode, type RateLimitedLog, silentMetrics, TokenBuckets, WarrenError, within } from '../../core/index.ts'
import { formatAddress } from '../../identity/index.ts'
import { readBody } from '../../wire/index.ts'
import type { ProvenWorkload, ProxyDeps } from '../deps.ts'
import { limitExceeded } from '../limits.ts'
import { checkProof, isOld, MAX_PROOF_BYTES, makeProof, ProofAttempts, reasonOf, UNPROVED } from '../session/index.ts'
import { PROOF_BODY_TIMEOUT_MS } from '../timing.ts'

/**
 * Rate of proofs that one session may send us: each costs some signatures. Usually there is one in half of a
 * certificate's life.
 */
export const PROOFS = { burst: 8, perSecond: 1, maxKeys: 1 }

export interface InboundProofsOptions {
  readonly socket: TLSSocket
  /** The identity that the source's certificate proved in the handshake, and that certificate. */
  readonly source: ProvenWorkload
  readonly leafDer: Uint8Array
  readonly carrier: string
  /** The first half of the registration id in the certificate that we showed. */
  readonly destinationPrefix: string
  readonly deps: ProxyDeps
  readonly warnings: RateLimitedLog
  readonly stopping: AbortSignal
}

/** The certificates that the source of a session has proved in it, at the end that accepted the session. */
export class InboundProofs {
  readonly #options: InboundProofsOptions
  readonly #proofs = new TokenBuckets<string>(PROOFS)
  readonly #attempts = new ProofAttempts()
  #source: ProvenWorkload
  #leafDer: Uint8Array
  #knownSinceMs: number

  constructor(options: InboundProofsOptions) {
    this.#options = options
    this.#source = options.source
    this.#leafDer = options.leafDer
    this.#knownSinceMs = options.deps.clock.wallMs()
  }

  /** The source of the session, by the certificate that it proved last. */
  get source(): ProvenWorkload {
    return this.#source
  }

  get leafDer(): Uint8Array {
    return this.#leafDer
  }

  /** Reason why the session may be cut when the certificate ends that was proved last; empty if nothing is wrong. */
  get problem(): string {
    if (this.#attempts.failures > 0) return this.#attempts.problem
    const isLate = isOld(this.#knownSinceMs, this.#source.notAfterMs, this.#options.deps.clock.wallMs())
    return isLate ? 'the source has proved no renewed certificate' : ''
  }

  /** Answers a proof with ours. Rejects with the error to answer instead, and logs it. */
  async serve(stream: ServerHttp2Stream): Promise<void> {
    const { metrics = silentMetrics } = this.#options.deps
    let answer: Uint8Array
    try {
      answer = await this.#answer(stream)
    } catch (err) {
      this.#failed(err)
      throw err
    }
    metrics.count('warren_session_proofs_total', { role: 'server', result: 'ok' })
    if (stream.destroyed || stream.closed) return
    stream.respond({ ':status': 200 })
    stream.end(answer)
  }

  async #answer(stream: ServerHttp2Stream): Promise<Uint8Array> {
    const { deps, socket, stopping, destinationPrefix } = this.#options
    const { metrics = silentMetrics, clock, local, verifier } = deps
    const now = clock.monotonicMs()
    if (this.#proofs.left('', now) < 1) {
      const { machine } = this.#source
      throw limitExceeded(metrics, 'proxy_proofs_per_session', 'proofs of one session', PROOFS.burst, { machine })
    }
    this.#proofs.use('', 1, now)
    return await within(PROOF_BODY_TIMEOUT_MS, [stopping], async signal => {
      const proof = await readBody(stream, { maxBytes: MAX_PROOF_BYTES, signal })
      const registrationId = local.byPrefix(destinationPrefix)
      if (registrationId === undefined)
        throw new WarrenError(ErrorCode.DestinationNotFound, 'it is no longer registered')
      const ours = makeProof(socket, 'server', await local.svid(registrationId))
      const { identity, leafDer } = checkProof(proof, socket, 'client', this.#source.spiffeId, verifier)
      if (!Buffer.from(leafDer).equals(this.#leafDer)) this.#knownSinceMs = clock.wallMs()
      this.#source = identity
      this.#leafDer = leafDer
      this.#attempts.worked(clock.monotonicMs())
      return ours
    })
  }

  #failed(err: unknown): void {
    const { deps, carrier, warnings, stopping, socket } = this.#options
    // A session that has closed needs no proof.
    if (stopping.aborted || socket.destroyed) return
    deps.metrics?.count('warren_session_proofs_total', { role: 'server', result: 'failed' })
    const { machine, address, notAfterMs } = this.#source
    const reason = reasonOf(err)
    const isNews = this.#attempts.failed(reason, deps.clock.monotonicMs(), notAfterMs - deps.clock.wallMs())
    const notAfter = new Date(notAfterMs).toISOString()
    const fields = {
      machine,
      carrier,
      source: formatAddress(address),
      notAfter,
      reason,
      count: this.#attempts.failures
    }
    if (isNews) warnings.warn(machine, UNPROVED, fields)
    else deps.log.debug(UNPROVED, fields)
  }
}
