import { ErrorCode, sleep, WarrenError } from '../../../core/index.ts'
import type { HeldSockets, ListenerSockets } from '../../../listeners/index.ts'
import type { AgentListener } from './pass-listener.ts'

/** What takes the clients of a listener in this very process. */
export interface OwnListener {
  /** Takes clients at these sockets. */
  readonly listen: (sockets: ListenerSockets) => Promise<string>
  /** Takes no more clients. */
  readonly pause: () => void | Promise<void>
  /** Also disconnects those that it has. */
  readonly close: () => void | Promise<void>
}

export interface HandoverOptions {
  readonly held: HeldSockets
  /** Passes the sockets to the agent. */
  readonly pass: (signal: AbortSignal) => Promise<AgentListener>
  readonly own: OwnListener
  readonly say: (text: string) => void
}

const FIRST_RETRY_MS = 100
/** While clients wait. */
const MAX_RETRY_MS = 500
/** While this process takes them. */
const MAX_OWN_RETRY_MS = 5_000
/** Clients wait this long for an agent that has ended, in milliseconds: it may be about to start again. */
const WAIT_MS = 15_000

/**
 * A listener whose clients the agent takes, and this process where the agent does not: it is too old, has too many listeners, or is
 * away for longer than a restart takes.
 */
export class Handover {
  readonly #options: HandoverOptions
  readonly #closing = new AbortController()
  readonly #begun = Promise.withResolvers<void>()
  #running: Promise<void> = Promise.resolve()
  #agent: AgentListener | undefined
  #isOwn = false
  #unservedMs = Number.NEGATIVE_INFINITY
  #told = ''

  constructor(options: HandoverOptions) {
    this.#options = options
  }

  /** Resolves once the clients are taken, by the agent or by this process. */
  async begin(): Promise<void> {
    this.#running = this.#run().catch((err: unknown) => {
      if (!this.#closing.signal.aborted) this.#begun.reject(err)
    })
    await this.#begun.promise
  }

  /** Disconnects every client, and frees the port or path. */
  async close(): Promise<void> {
    this.#closing.abort()
    const { held, own } = this.#options
    held.close()
    await this.#agent?.close()
    await own.close()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    let retryMs = FIRST_RETRY_MS
    for (;;) {
      const err = await this.#offer(signal)
      if (signal.aborted) return
      if (err === undefined) retryMs = FIRST_RETRY_MS
      else if (await this.#failed(err)) return
      await sleep(retryMs, signal)
      retryMs = Math.min(retryMs * 2, this.#isOwn ? MAX_OWN_RETRY_MS : MAX_RETRY_MS)
    }
  }

  /** Lets the agent take the clients for as long as it does. Returns why it does not; undefined when it no longer does. */
  async #offer(signal: AbortSignal): Promise<WarrenError | undefined> {
    const { pass, own } = this.#options
    let agent: AgentListener
    try {
      agent = await pass(signal)
    } catch (err) {
      return WarrenError.from(err)
    }
    if (signal.aborted) {
      await agent.close()
      return undefined
    }
    this.#agent = agent
    if (this.#isOwn) await own.pause()
    this.#isOwn = false
    this.#told = ''
    this.#begun.resolve()
    await agent.ended
    this.#agent = undefined
    this.#unservedMs = performance.now()
    return undefined
  }

  /** Returns true if another attempt is of no use. */
  async #failed(err: WarrenError): Promise<boolean> {
    const { code, reason } = err
    const isOld = code === ErrorCode.Unsupported
    const isAway = code === ErrorCode.AgentNotRunning || code === ErrorCode.NotReady
    if (isAway && performance.now() - this.#unservedMs < WAIT_MS) return false
    if (!this.#isOwn) {
      this.#isOwn = true
      await this.#options.own.listen(this.#options.held.sockets())
    }
    this.#begun.resolve()
    if (!isOld && !isAway && this.#told !== code) {
      this.#told = code
      this.#options.say(
        `the agent does not take the listener, so that this command carries the bytes: ${code}: ${reason}`
      )
    }
    return isOld
  }
}
