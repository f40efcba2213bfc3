import { ErrorCode, type Logger, raceAbort, WarrenError, within } from '../core/index.ts'

/** How long a host that knows other hosts waits for one of them before it serves from its stored state. */
const PATIENCE_MS = 3_000
/** The same for a host that has just been admitted: it has no stored state, and its authority answered a moment ago. */
const JOINER_PATIENCE_MS = 15_000
/** How long a caller waits for the agent to become ready. */
const CALLER_PATIENCE_MS = 6_000

/**
 * Whether the agent may serve yet.
 *
 * A host that knows members first synchronises with one, so that it does not act on the state before its absence.
 * When none answers it serves after a while: a partition must not stop a host from working alone.
 */
export class Readiness {
  readonly #ready = Promise.withResolvers<void>()
  #state: 'starting' | 'ready' | 'draining' = 'starting'

  get state(): 'starting' | 'ready' | 'draining' {
    return this.#state
  }

  /**
   * Becomes ready after `synchronised`, or without it when no host answers; at once when there is no host to ask.
   *
   * `alone`: this host knows no other host. `joiner`: it was admitted just now. Rejects with the reason of `signal` as soon as
   * it aborts.
   */
  async begin(
    known: 'alone' | 'joiner' | 'member',
    synchronised: Promise<void>,
    log: Logger,
    signal: AbortSignal
  ): Promise<void> {
    if (known !== 'alone') {
      const patienceMs = known === 'joiner' ? JOINER_PATIENCE_MS : PATIENCE_MS
      const hasHeard = await within(patienceMs, [signal], deadline => raceAbort(synchronised, deadline)).then(
        () => true,
        () => false
      )
      if (!hasHeard && !signal.aborted)
        log.warn('serving without having synchronised', { reason: 'no member answered' })
    }
    signal.throwIfAborted()
    if (this.#state !== 'starting') return
    this.#state = 'ready'
    this.#ready.resolve()
  }

  drain(): void {
    this.#state = 'draining'
  }

  /** Resolves once the agent may serve. Rejects with NOT_READY when it takes too long or the agent is stopping. */
  async wait(signal: AbortSignal): Promise<void> {
    if (this.#state === 'ready') return
    if (this.#state === 'draining') throw this.#notReady()
    try {
      await within(CALLER_PATIENCE_MS, [signal], deadline => raceAbort(this.#ready.promise, deadline))
    } catch (err) {
      if (signal.aborted) throw err
      throw this.#notReady()
    }
  }

  #notReady(): WarrenError {
    return new WarrenError(ErrorCode.NotReady, `the agent is ${this.#state}`, {
      hint: 'Try again in a moment; `warren status` shows the state.'
    })
  }
}
