import { WarrenError } from '../../core/index.ts'
import type { AcquiredSource } from '../../proxy/index.ts'
import type { RegisterInput, Workload, Workloads } from '../../workloads/index.ts'
import type { Caller } from '../index.ts'

/** Time that the registration outlives its last flow, in milliseconds: the next one then starts faster. */
const LINGER_MS = 1_000

interface Held {
  readonly workload: Promise<Workload>
  users: number
  linger: NodeJS.Timeout | undefined
  /** Has no effect before it is registered. */
  end: () => void
}

export interface CallerSourceDeps {
  readonly workloads: Pick<Workloads, 'register' | 'keep' | 'end'>
  /** Resolves once the agent may serve. */
  readonly ready: (signal: AbortSignal) => Promise<void>
}

/** The registration that the flows of a caller's listener come from: it exists while there are such flows. */
export class CallerSource {
  readonly #deps: CallerSourceDeps
  readonly #input: RegisterInput
  readonly #caller: Caller
  readonly #signal: AbortSignal
  #held: Held | undefined

  /** `signal` ends the registration and its flows. */
  constructor(deps: CallerSourceDeps, input: RegisterInput, caller: Caller, signal: AbortSignal) {
    this.#deps = deps
    this.#input = input
    this.#caller = caller
    this.#signal = signal
    signal.addEventListener('abort', () => this.#held?.end(), { once: true })
  }

  /** Registers unless that is done. Rejects as `register`, or with the reason of the signal. */
  async acquire(): Promise<AcquiredSource> {
    this.#signal.throwIfAborted()
    this.#held ??= this.#register()
    const held = this.#held
    held.users += 1
    clearTimeout(held.linger)
    let isMine = true
    const release = (): void => {
      if (!isMine) return
      isMine = false
      held.users -= 1
      if (held.users === 0) held.linger = setTimeout(() => held.end(), LINGER_MS)
    }
    try {
      return { source: await held.workload, release }
    } catch (err) {
      release()
      throw WarrenError.from(err)
    }
  }

  #register(): Held {
    const registered = this.#begin()
    const workload = registered.then(one => one.workload)
    const held: Held = { workload, users: 0, linger: undefined, end: () => {} }
    const drop = (): void => {
      clearTimeout(held.linger)
      if (this.#held === held) this.#held = undefined
    }
    registered.then(({ workload: { registrationId }, ended }) => {
      held.end = () => {
        drop()
        this.#deps.workloads.end(registrationId, 'deregistered')
      }
      // Ended by another cause: the next client makes another one.
      ended.then(drop, drop)
      if (this.#signal.aborted) held.end()
    }, drop)
    return held
  }

  async #begin(): Promise<{ readonly workload: Workload; readonly ended: Promise<unknown> }> {
    const { workloads, ready } = this.#deps
    await ready(this.#signal)
    const { workload, token } = await workloads.register(this.#input, this.#caller)
    return { workload, ended: workloads.keep(token, this.#caller).ended }
  }
}
