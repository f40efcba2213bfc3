import { ErrorCode, type Logger, raceAbort, WarrenError, within } from '../core/index.ts'

/** How long a host that knows of others waits for one of them before it serves from what it has. */
const PATIENCE_MS = 3_000
/** The same for a host that has just been admitted: it has nothing to serve from, and its authority answered a moment ago. */
const JOINER_PATIENCE_MS = 15_000
/** How long a caller waits for the agent to become ready. */
const CALLER_PATIENCE_MS = 6_000

/**
 * Whether the agent may serve yet.
 *
 * A host that knows of members first synchronises with one, so that it does not act on what it knew before it went away.
 * When none answers it serves all the same after a while: a partition must not stop a host from working by itself.
 */
export class Readiness {
  readonly #ready = Promise.withResolvers<void>()
  #state: 'starting' | 'ready' | 'draining' = 'starting'

  get state(): 'starting' | 'ready' | 'draining' {
    return this.#state
  }

  /**
   * Becomes ready after `synchronised`, or without it when nobody answers; at once when there is nobody to ask.
   *
   * `alone`: this host knows of nobody. `joiner`: it was admitted just now. Rejects with the reason of `signal` as soon as
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
      if (!hasHeard && !signal.aborted) log.warn('serving without having synchronised', { reason: 'nobody answered' })
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
