import type { MessageInitShape } from '@bufbuild/protobuf'
import { definedOnly, ErrorCode, type Logger, raceAbort, silentLogger, sleep, WarrenError } from '../core/index.ts'
import { apiPb } from '../wire/index.ts'
import { type AgentClient, type AgentClientOptions, sharedClient } from './agent-client.ts'
import { systemCode } from './from-connect-error.ts'

/** Where the agent delivers the connections of a registration. */
export type TargetOption =
  | { readonly listen: { readonly hello?: boolean } }
  /** host:port on this host. */
  | { readonly tcp: string }
  /** Path of a unix socket that this user serves. */
  | { readonly unix: string }

export interface RegisterOptions extends Omit<AgentClientOptions, 'timeoutMs'> {
  /** The client to use. @default the shared one of the runtime directory */
  readonly client?: AgentClient | undefined
  /** Absent: the registration is a source of connections only. */
  readonly target?: TargetOption | undefined
  /** Source patterns that may connect, in the same scope, without a rule. */
  readonly whitelist?: readonly string[] | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** How far the registration must have spread before `register` resolves. @default 'all' */
  readonly wait?: 'all' | 'quorum' | 'local' | undefined
  /** The process whose end ends the registration, if not this one. */
  readonly ownerPid?: number | undefined
  /** A name for people. */
  readonly application?: string | undefined
  /** Ends the registration when it aborts. */
  readonly signal?: AbortSignal | undefined
  readonly log?: Logger | undefined
  /**
   * Called after each successful registration, the first one and those after a restart of the agent. A rejection of
   * the first one fails `register`; of a later one, is tried again.
   */
  readonly onLive?: ((registration: Registration) => Promise<void>) | undefined
}

/** Why a registration is over. */
export interface RegistrationEnd {
  readonly reason: string
  /** Absent if it was closed as asked. */
  readonly error?: WarrenError
}

/** An address that this process holds, for as long as it is not closed and the agent grants it. */
export interface Registration extends AsyncDisposable {
  /** Five components. */
  readonly address: string
  readonly spiffeId: string
  /** Hex. Changes when the agent restarts, as do the token and the path. */
  readonly registrationId: string
  /** Secret: whoever has it and runs as this user acts as this registration. */
  readonly token: string
  /** Where to bind, if the target is `listen`; else empty. */
  readonly listenPath: string
  readonly replication: apiPb.Replication | undefined
  /** `lost` while the agent is away. */
  readonly state: 'live' | 'lost' | 'closed'
  /** Resolves when it is over; never rejects. */
  readonly closed: Promise<RegistrationEnd>
  /** Resolves once it is live with another token than `stale`; rejects with how it ended, or the signal's reason. */
  renewed(stale: string, signal: AbortSignal): Promise<void>
  /** Deregisters: locally at once, then everywhere; answers how far that spread. Idempotent, never throws. */
  close(): Promise<apiPb.Replication | undefined>
}

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 5_000
/** An agent that hangs must not keep its clients from ending. */
const DEREGISTER_MS = 10_000

/**
 * Registers `address` (four components; the agent appends its machine) and keeps it registered until it is closed.
 *
 * When the agent restarts it registers again, for as long as that takes. Rejects with what the agent answers to the
 * first attempt: INVALID_ARGUMENT, PERMISSION_DENIED, ALREADY_EXISTS, AGENT_NOT_RUNNING…
 */
export async function register(address: string, options: RegisterOptions = {}): Promise<Registration> {
  const { client = sharedClient(definedOnly({ runtimeDir: options.runtimeDir, env: options.env })) } = options
  const keeper = new Keeper(client, requestOf(address, options), options)
  await keeper.start()
  return keeper
}

function requestOf(address: string, options: RegisterOptions): MessageInitShape<typeof apiPb.RegisterRequestSchema> {
  const { target, whitelist = [], labels = {}, wait = 'all', ownerPid = 0, application = '' } = options
  const request = {
    address,
    whitelist: [...whitelist],
    labels: { ...labels },
    wait: WAITS[wait],
    ownerPid,
    application
  }
  return target === undefined ? request : { ...request, target: { kind: kindOf(target) } }
}

const WAITS = { all: apiPb.Wait.ALL, quorum: apiPb.Wait.QUORUM, local: apiPb.Wait.LOCAL } as const

function kindOf(target: TargetOption): NonNullable<MessageInitShape<typeof apiPb.TargetSchema>['kind']> {
  if ('listen' in target) return { case: 'listen', value: { hello: target.listen.hello ?? false } }
  if ('tcp' in target) return { case: 'tcp', value: target.tcp }
  return { case: 'unix', value: target.unix }
}

type Keeping = { readonly ended: true; readonly reason: string } | { readonly ended: false; readonly err: unknown }

class Keeper implements Registration {
  readonly #client: AgentClient
  readonly #request: MessageInitShape<typeof apiPb.RegisterRequestSchema>
  readonly #options: RegisterOptions
  readonly #log: Logger
  readonly #stopping = new AbortController()
  readonly #ended = Promise.withResolvers<RegistrationEnd>()
  #held: apiPb.RegisterResponse | undefined
  #state: Registration['state'] = 'lost'
  #waiters = new Set<() => void>()
  #retryMs = FIRST_RETRY_MS
  #running: Promise<void> = Promise.resolve()
  #closing: Promise<apiPb.Replication | undefined> | undefined
  #unlink: () => void = () => {}

  constructor(
    client: AgentClient,
    request: MessageInitShape<typeof apiPb.RegisterRequestSchema>,
    options: RegisterOptions
  ) {
    this.#client = client
    this.#request = request
    this.#options = options
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
    while (this.#state !== 'live' || this.token === stale) {
      if (this.#state === 'closed') {
        const end = await this.#ended.promise
        throw end.error ?? new WarrenError(ErrorCode.InvalidSource, `the registration is over: ${end.reason}`)
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
    // Before the Keep stream ends, which would end the registration without a report of how far that spread.
    if (this.#held !== undefined && this.#state === 'live') {
      const wait = this.#request.wait ?? apiPb.Wait.ALL
      const asked = this.#client.workload.deregister({ token: this.#held.token, wait }, { timeoutMs: DEREGISTER_MS })
      // What fails here has ended already, or ends with the stream.
      replication = (await asked.catch(() => undefined))?.replication
    }
    this.#stopping.abort()
    await this.#running
    this.#finish({ reason: 'closed' })
    return replication
  }

  async #enrol(signal: AbortSignal | undefined): Promise<void> {
    const response = await this.#client.workload.register(this.#request, definedOnly({ signal }))
    this.#held = response
    this.#become('live')
    await this.#options.onLive?.(this)
  }

  async #run(): Promise<void> {
    for (;;) {
      const keeping = await this.#keep()
      if (this.#stopping.signal.aborted || this.#closing !== undefined) return
      if (keeping.ended) {
        const error = new WarrenError(ErrorCode.InvalidSource, `the agent ended the registration: ${keeping.reason}`)
        this.#finish({ reason: keeping.reason, error })
        return
      }
      this.#become('lost')
      this.#log.warn('registration lost, registering again', { address: this.address, err: keeping.err })
      if (!(await this.#recover())) return
    }
  }

  /** Follows the Keep stream to its end. */
  async #keep(): Promise<Keeping> {
    try {
      const events = this.#client.workload.keep({ token: this.token }, { signal: this.#stopping.signal })
      for await (const { event } of events) {
        if (event.case === 'ended') return { ended: true, reason: event.value.reason }
        this.#retryMs = FIRST_RETRY_MS
      }
      return { ended: false, err: undefined }
    } catch (err) {
      return { ended: false, err }
    }
  }

  /** Registers again until it works; false if it is not to be. */
  async #recover(): Promise<boolean> {
    for (;;) {
      try {
        await sleep(this.#retryMs * (0.5 + Math.random() / 2), this.#stopping.signal)
        this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS)
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

// Asking again cannot change these answers; the others come from an agent that is away, starting or busy.
function isFinal(error: WarrenError): boolean {
  switch (error.code) {
    case ErrorCode.InvalidArgument:
    case ErrorCode.Unauthorized:
    case ErrorCode.Unsupported:
      return true
    case ErrorCode.PermissionDenied:
      // A starting agent opens its socket to others only after binding it.
      return systemCode(error) === undefined
    default:
      return false
  }
}
