import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  definedOnly,
  ErrorCode,
  type Logger,
  raceAbort,
  requireDnsNames,
  silentLogger,
  sleep,
  WarrenError
} from '../core/index.ts'
import { apiPb } from '../wire/index.ts'
import type { AgentClient } from './agent-client.ts'
import { isForeignDirectory } from './dial-agent.ts'
import { systemCode } from './from-connect-error.ts'
import type { RegisterOptions, Registration, RegistrationEnd } from './registration.ts'

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 5_000
/** Time limit: an agent that hangs must not keep its clients from ending. */
const DEREGISTER_MS = 10_000

/** Reason that an agent sends to its clients when it stops: it may be about to start again. */
const AGENT_STOPPED = 'agent stopped'

/** For so long after its program was replaced, what an agent lost is asked for again with the same token. */
const KEPT_MS = 10_000

type Keeping = { readonly ended: true; readonly reason: string } | { readonly ended: false; readonly err: unknown }

/** A registration, and the task that makes it again after the agent was away. It begins with `start`. */
export class Keeper implements Registration {
  readonly #client: AgentClient
  readonly #request: MessageInitShape<typeof apiPb.RegisterRequestSchema>
  readonly #options: RegisterOptions
  readonly #log: Logger
  readonly #holdsProcess: boolean
  readonly #stopping = new AbortController()
  readonly #ended = Promise.withResolvers<RegistrationEnd>()
  #held: apiPb.RegisterResponse | undefined
  #problem = ''
  #mayBeKept = false
  #keptAtMs = Number.NEGATIVE_INFINITY
  #state: Registration['state'] = 'lost'
  #waiters = new Set<() => void>()
  #retryMs = FIRST_RETRY_MS
  #running: Promise<void> = Promise.resolve()
  #closing: Promise<apiPb.Replication | undefined> | undefined
  #unlink: () => void = () => {}

  constructor(
    client: AgentClient,
    request: MessageInitShape<typeof apiPb.RegisterRequestSchema>,
    options: RegisterOptions,
    holdsProcess: boolean
  ) {
    this.#client = client
    this.#request = request
    this.#options = options
    this.#holdsProcess = holdsProcess
    this.#log = options.log ?? silentLogger
  }

  get address(): string {
    return this.#held?.address ?? ''
  }
  get spiffeId(): string {
    return this.#held?.spiffeId ?? ''
  }
  get registrationId(): string {
    return this.#held?.registrationId ?? ''
  }
  get token(): string {
    return this.#held?.token ?? ''
  }
  get listenPath(): string {
    return this.#held?.listenPath ?? ''
  }
  get replication(): apiPb.Replication | undefined {
    return this.#held?.replication
  }
  get problem(): string {
    return this.#problem
  }
  get state(): Registration['state'] {
    return this.#state
  }
  get closed(): Promise<RegistrationEnd> {
    return this.#ended.promise
  }

  async start(): Promise<void> {
    const { signal } = this.#options
    try {
      await this.#enrol(signal)
    } catch (err) {
      await this.close()
      throw err
    }
    const onAbort = (): void => void this.close()
    signal?.addEventListener('abort', onAbort, { once: true })
    const forget = this.#client.onClose(async () => void (await this.close()))
    this.#unlink = () => {
      signal?.removeEventListener('abort', onAbort)
      forget()
    }
    this.#running = this.#run()
    if (signal?.aborted === true) onAbort()
  }

  async renewed(stale: string, signal: AbortSignal): Promise<void> {
    while (this.#state !== 'live' || (this.token === stale && performance.now() - this.#keptAtMs > KEPT_MS)) {
      if (this.#state === 'closed') {
        const end = await this.#ended.promise
        throw end.error ?? new WarrenError(ErrorCode.InvalidSource, `the registration has ended: ${end.reason}`)
      }
      const changed = Promise.withResolvers<void>()
      this.#waiters.add(changed.resolve)
      try {
        await raceAbort(changed.promise, signal)
      } finally {
        this.#waiters.delete(changed.resolve)
      }
    }
  }

  close(): Promise<apiPb.Replication | undefined> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<apiPb.Replication | undefined> {
    let replication: apiPb.Replication | undefined
    // This call comes before the end of the Keep stream, which would end the registration without a replication report.
    if (this.#held !== undefined && this.#state === 'live') {
      const wait = this.#request.wait ?? apiPb.Wait.ALL
      const asked = this.#client.workload.deregister({ token: this.#held.token, wait }, { timeoutMs: DEREGISTER_MS })
      // A registration for which this call fails has ended already, or ends with the stream.
      replication = (await asked.catch(() => undefined))?.replication
    }
    this.#stopping.abort()
    await this.#running
    this.#finish({ reason: 'closed' })
    return replication
  }

  async #enrol(signal: AbortSignal | undefined): Promise<void> {
    const response = await this.#client.workload.register(this.#request, definedOnly({ signal }))
    // A later problem comes over the Keep stream.
    if (this.#held === undefined) this.#problem = response.problem
    this.#held = response
    this.#become('live')
    requireDnsNames(this.#request.dnsNames ?? [], response.dnsNames)
    await this.#options.onLive?.(this)
  }

  async #run(): Promise<void> {
    for (;;) {
      const keeping = await this.#keep()
      if (this.#stopping.signal.aborted || this.#closing !== undefined) return
      if (keeping.ended && keeping.reason !== AGENT_STOPPED) {
        const error = new WarrenError(ErrorCode.InvalidSource, `the agent ended the registration: ${keeping.reason}`)
        this.#finish({ reason: keeping.reason, error })
        return
      }
      this.#become('lost')
      this.#options.onLost?.()
      const err = keeping.ended ? undefined : keeping.err
      this.#log.warn('registration lost, registering again', { address: this.address, err })
      // An agent whose program was replaced still has it.
      this.#mayBeKept = !keeping.ended
      if (!(await this.#recover())) return
    }
  }

  /** Follows the Keep stream to its end. */
  async #keep(): Promise<Keeping> {
    try {
      const events = this.#client.workload.keep(
        { token: this.token },
        {
          signal: this.#stopping.signal,
          holdsProcess: this.#holdsProcess
        }
      )
      for await (const { event } of events) {
        if (event.case === 'ended') return { ended: true, reason: event.value.reason }
        this.#retryMs = FIRST_RETRY_MS
        if (event.case === 'alive') this.#note(event.value.problem)
      }
      return { ended: false, err: undefined }
    } catch (err) {
      return { ended: false, err }
    }
  }

  /** Registers again until it succeeds; returns false if that will never be. */
  async #recover(): Promise<boolean> {
    for (;;) {
      try {
        await sleep(this.#retryMs * (0.5 + Math.random() / 2), this.#stopping.signal)
        this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS)
        if (this.#mayBeKept && (await this.#stillHas())) return true
        await this.#enrol(this.#stopping.signal)
        this.#log.info('registered again', { address: this.address })
        return true
      } catch (err) {
        if (this.#stopping.signal.aborted) return false
        const error = WarrenError.from(err)
        this.#become('lost')
        if (isFinal(error)) {
          this.#finish({ reason: error.reason, error })
          return false
        }
        this.#log.debug('cannot register again yet', { address: this.address, err })
      }
    }
  }

  /** Whether the agent that answers now has the registration: then it is live. Rejects while no agent answers. */
  async #stillHas(): Promise<boolean> {
    try {
      await this.#client.workload.heartbeat({ token: this.token }, { signal: this.#stopping.signal })
    } catch (err) {
      const { code } = WarrenError.from(err)
      if (code === ErrorCode.AgentNotRunning || code === ErrorCode.NotReady) throw err
      // Whatever else it answers: the next registration says more.
      this.#mayBeKept = false
      return false
    }
    this.#keptAtMs = performance.now()
    this.#become('live')
    this.#log.info('registration kept', { address: this.address })
    return true
  }

  // Undefined: of an agent that does not say.
  #note(problem: string | undefined): void {
    if (problem === undefined || problem === this.#problem) return
    this.#problem = problem
    this.#options.onProblem?.(this)
  }

  #become(state: Registration['state']): void {
    if (this.#state === 'closed') return
    this.#state = state
    for (const wake of this.#waiters) wake()
  }

  #finish(end: RegistrationEnd): void {
    this.#unlink()
    this.#ended.resolve(end)
    this.#become('closed')
  }
}

// A retry cannot change these answers; the others come from an agent that is away, starting or busy.
function isFinal(error: WarrenError): boolean {
  switch (error.code) {
    case ErrorCode.InvalidArgument:
    case ErrorCode.Unauthorized:
    case ErrorCode.Unsupported:
      return true
    case ErrorCode.PermissionDenied:
      // A starting agent opens its socket to others only after binding it; and its directory may be given back.
      return systemCode(error) === undefined && !isForeignDirectory(error)
    default:
      return false
  }
}
