import {
  ErrorCode,
  type Logger,
  type Metrics,
  RateLimitedLog,
  silentMetrics,
  UNAUTHENTICATED_LINES,
  WarrenError,
  within
} from '../../core/index.ts'
import { formatAddress } from '../../identity/index.ts'
import type { ProxyDeps } from '../deps.ts'
import type { ClientSession } from './client-session.ts'
import { proofTimeoutMs } from './proof-attempts.ts'

/** Log message of a failure to prove renewed certificates, at either end. */
export const UNPROVED = 'renewed certificates are not proved: the flows of the session are cut when the proved ones end'

/** Makes sessions that this agent opened prove the present certificates of their ends, and logs when they cannot. */
export class SessionProver {
  readonly #deps: ProxyDeps
  readonly #log: Logger
  readonly #warnings: RateLimitedLog
  readonly #metrics: Metrics
  readonly #stopping: AbortSignal

  constructor(deps: ProxyDeps, stopping: AbortSignal) {
    this.#deps = deps
    this.#log = deps.log
    this.#warnings = new RateLimitedLog(deps.log, deps.clock, UNAUTHENTICATED_LINES)
    this.#metrics = deps.metrics ?? silentMetrics
    this.#stopping = stopping
  }

  /**
   * Makes one attempt, if one is due and needed. Never rejects: after a failure it tries again, less and less often.
   */
  async prove(session: ClientSession): Promise<void> {
    const { clock } = this.#deps
    if (session.isIdle || !session.ends.attempts.isDue(clock.monotonicMs())) return
    try {
      if (!(await this.#attempt(session))) return
    } catch (err) {
      this.#failed(session, err)
      return
    }
    this.#metrics.count('warren_session_proofs_total', { role: 'client', result: 'ok' })
    if (session.ends.attempts.failures > 0)
      this.#log.info('renewed certificates are proved again', this.#fields(session))
    session.ends.attempts.worked(clock.monotonicMs())
  }

  /** Returns whether there was anything to prove. */
  async #attempt(session: ClientSession): Promise<boolean> {
    const { local, verifier } = this.#deps
    const isReplaced = verifier.isReplaced?.(session.ends.leafDer) ?? false
    const credentials = await local.svid(session.sourceId)
    if (!session.needsProof(credentials.certPem, isReplaced)) return false
    await within(proofTimeoutMs(session.ends.leftMs), [this.#stopping], signal =>
      session.prove(credentials, verifier, signal)
    )
    return true
  }

  #failed(session: ClientSession, err: unknown): void {
    // A session that closes anyway needs no proof.
    if (this.#stopping.aborted || !session.isUsable || !this.#deps.local.isAlive(session.sourceId)) return
    this.#metrics.count('warren_session_proofs_total', { role: 'client', result: 'failed' })
    const reason = reasonOf(err)
    const isNews = session.ends.attempts.failed(reason, this.#deps.clock.monotonicMs(), session.ends.leftMs)
    const fields = { ...this.#fields(session), reason, count: session.ends.attempts.failures }
    if (isNews) this.#warnings.warn(session.destination.machine, UNPROVED, fields)
    else this.#log.debug(UNPROVED, fields)
  }

  #fields({ destination, path, sourceId, ends }: ClientSession) {
    return {
      machine: destination.machine,
      carrier: path.name,
      registrationId: sourceId,
      destination: formatAddress(destination.address),
      notAfter: new Date(ends.endMs).toISOString()
    }
  }
}

/** Reason why a proof failed, in one clause. */
export function reasonOf(err: unknown): string {
  if (err instanceof DOMException && err.name === 'TimeoutError') return 'the other agent did not answer in time'
  const { code, reason } = WarrenError.from(err)
  if (code !== ErrorCode.Internal) return `${code}: ${reason}`
  return err instanceof Error ? err.message : String(err)
}
