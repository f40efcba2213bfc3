import type { MessageInitShape } from '@bufbuild/protobuf'
import type { LocalUser } from '../../attest/index.ts'
import type { Replication, WaitMode } from '../../cluster/index.ts'
import { ErrorCode, type Logger, type Protocol, raceAbort, sleep, systemClock, WarrenError } from '../../core/index.ts'
import { type Address, formatAddress, type Pattern, parsePattern } from '../../identity/index.ts'
import type { ConnectionEnd, Strategy } from '../../proxy/index.ts'
import { apiPb, healthCheckName } from '../../wire/index.ts'
import { type RegisterInput, serverOf, type Workload, type Workloads } from '../../workloads/index.ts'
import type { WorkloadHandlers } from '../index.ts'
import { asSeenBy } from './as-seen-by.ts'
import { inspected, inspection } from './inspect.ts'
import { listedServices, optionalPattern } from './list-services.ts'
import { type ListenDeps, listenForCaller } from './listen.ts'
import type { ServiceList } from './service-list.ts'
import { ServiceSnapshots } from './service-snapshots.ts'

export interface WorkloadHandlersDeps {
  readonly workloads: Workloads
  /** Resolves once the agent may serve; rejects with NOT_READY when that takes too long. */
  readonly ready: (signal: AbortSignal) => Promise<void>
  /** Called before a change whose replication is awaited. */
  readonly expectReplication: (wait: WaitMode) => void
  readonly replicated: (wait: WaitMode, signal: AbortSignal) => Promise<Replication>
  readonly connect: (request: {
    readonly source: Workload
    readonly destination: Pattern
    readonly protocol: Protocol
    readonly strategy: Strategy
    readonly hello: boolean
    readonly explicitEnd: boolean
    readonly signal: AbortSignal
  }) => Promise<{ path: string; spiffeId: string; helloTimeoutMs: number }>
  readonly prepareListener: (user: LocalUser) => Promise<string>
  readonly listen: ListenDeps['listen']
  readonly log: Logger
  readonly connectionEnd: (user: LocalUser, flowId: string) => ConnectionEnd
  readonly resetConnection: (user: LocalUser, flowId: string) => void
  readonly services: ServiceList
  /** Resolves at the next change of the registry. */
  readonly changed: () => Promise<void>
  readonly tokenKeys: () => MessageInitShape<typeof apiPb.GetTokenKeysResponseSchema>
  readonly status: () => Parameters<typeof statusShape>[0]
}

const NOT_YOURS =
  'It may have ended already, or another user made it: only that user can end it. `warren inspect` lists those of yours.'
const KEEP_ALIVE_MS = 15_000
// A watcher of a busy mesh gets whole states, not one per record.
const WATCH_PAUSE_MS = 100

const statusShape = (status: MessageInitShape<typeof apiPb.GetStatusResponseSchema>) => status

/** The handlers of agent.sock. */
export function workloadHandlers(deps: WorkloadHandlersDeps): WorkloadHandlers {
  const {
    workloads,
    ready,
    expectReplication,
    replicated,
    connect,
    services,
    changed,
    status,
    connectionEnd,
    resetConnection
  } = deps
  const kept = new WeakMap<Address, apiPb.Service>()
  const all = (pattern: Pattern | undefined) => services.messages({ pattern, labels: {}, machine: '' }, kept)
  const snapshots = new ServiceSnapshots(all, WATCH_PAUSE_MS)
  return {
    async register(request, caller, signal) {
      await ready(signal)
      expectReplication(waitMode(request.wait))
      const { workload, token } = await workloads.register(registerInput(request), caller)
      const replication = await replicated(waitMode(request.wait), signal)
      return {
        token,
        registrationId: workload.registrationId,
        spiffeId: workload.spiffeId,
        address: formatAddress(workload.address),
        listenPath: await asSeenBy(caller, listenPathOf(workload)),
        replication,
        ttlMs: workload.ttlMs,
        problem: serverOf(workload.target)?.problem ?? '',
        dnsNames: [...workload.dnsNames]
      }
    },

    async *keep(request, caller, signal): AsyncGenerator<MessageInitShape<typeof apiPb.KeepResponseSchema>> {
      const { workload, ended, release } = workloads.keep(request.token, caller)
      const server = serverOf(workload.target)
      let reason = ''
      let over = signal.aborted
      let wake = (): void => {}
      const end = (): void => {
        over = true
        wake()
      }
      ended.then(
        why => {
          reason = why
          end()
        },
        () => {}
      )
      signal.addEventListener('abort', end, { once: true })
      const unlisten = server?.onChange(() => wake())
      try {
        while (!over) {
          const problem = server?.problem ?? ''
          yield { event: { case: 'alive', value: { problem } } }
          if (over || problem !== (server?.problem ?? '')) continue
          const pause = Promise.withResolvers<void>()
          wake = pause.resolve
          const timer = setTimeout(pause.resolve, KEEP_ALIVE_MS)
          await pause.promise
          clearTimeout(timer)
        }
        if (reason !== '') yield { event: { case: 'ended', value: { reason } } }
      } finally {
        signal.removeEventListener('abort', end)
        unlisten?.()
        release()
      }
    },

    heartbeat: async (request, caller) => ({ ttlMs: workloads.heartbeat(request.token, caller).ttlMs }),

    async deregister(request, caller, signal) {
      const { registrationId } = workloads.claim(request.token, caller, NOT_YOURS)
      expectReplication(waitMode(request.wait))
      workloads.end(registrationId, 'deregistered')
      return { replication: await replicated(waitMode(request.wait), signal) }
    },

    async connect(request, caller, signal) {
      await ready(signal)
      const source = workloads.claim(request.token, caller)
      const destination = parsePattern(request.destination)
      const protocol = protocolOf(request.protocol)
      const strategy = STRATEGIES[request.strategy]
      const { hello, explicitEnd } = request
      const made = await connect({ source, destination, protocol, strategy, hello, explicitEnd, signal })
      return { ...made, path: await asSeenBy(caller, made.path) }
    },

    prepareListener: async (_request, caller) => ({ path: await asSeenBy(caller, await deps.prepareListener(caller)) }),

    listen(request, caller, signal) {
      const [protocol, strategy] = [protocolOf(request.protocol), STRATEGIES[request.strategy]]
      return listenForCaller(deps, { ...request, protocol, strategy }, caller, signal)
    },

    getConnectionEnd: async ({ flowId }, caller) => connectionEnd(caller, flowId),

    async resetConnection({ flowId }, caller) {
      resetConnection(caller, flowId)
      return {}
    },

    listServices: async (request, { share }) => share.timed(() => listedServices(services, request)),

    async *watchServices(request, { share }, signal) {
      const pattern = optionalPattern(request.pattern)
      let shown = ''
      // The pause runs from one look to the next, and not from a change: a change after a quiet time is sent at once.
      let rested = Promise.resolve()
      while (!signal.aborted) {
        const now = changed()
        const nowMs = systemClock.monotonicMs()
        // The first state is that of now: it has what its caller registered before.
        const { message, key, change } =
          snapshots.current(pattern, now) ??
          (shown === '' ? undefined : snapshots.fresh(pattern, nowMs)) ??
          share.timed(() => snapshots.make(pattern, now, nowMs))
        if (key !== shown) {
          shown = key
          yield message
        }
        await raceAbort(change, signal)
        await rested
        rested = sleep(WATCH_PAUSE_MS, signal).catch(() => {})
        await share.turn(signal)
      }
    },

    getStatus: async (_request, { share }) => share.timed(status),
    getTokenKeys: async (_request, { share }) => share.timed(deps.tokenKeys),

    inspect: async ({ registrations }, caller) => ({
      registrations: caller.share.timed(() =>
        inspected(workloads, registrations, caller).map(workload =>
          inspection(workload, workloads.limitsOf(workload.registrationId))
        )
      )
    })
  }
}

function listenPathOf({ directory, target }: Workload): string {
  return directory !== undefined && target?.kind === 'unix' ? target.path : ''
}

function waitMode(wait: apiPb.Wait): WaitMode {
  switch (wait) {
    case apiPb.Wait.LOCAL:
      return 'local'
    case apiPb.Wait.QUORUM:
      return 'quorum'
    case apiPb.Wait.ALL:
    case apiPb.Wait.UNSPECIFIED:
      return 'all'
  }
}

function registerInput(request: apiPb.RegisterRequest): RegisterInput {
  return {
    address: request.address,
    target: targetInput(request.target),
    whitelist: request.whitelist,
    labels: request.labels,
    ports: request.ports,
    weight: request.weight,
    multipath: request.multipath,
    dnsNames: request.dnsNames,
    ttlMs: request.ttlMs,
    ownerPid: request.ownerPid,
    forUser: request.forUser,
    application: request.application,
    healthCheck: healthCheckName(request.healthCheck, request.healthCheckSubject),
    maxConnects: request.maxConnects,
    maxRate: request.maxRate
  }
}

const STRATEGIES: Readonly<Record<apiPb.Strategy, Strategy>> = {
  [apiPb.Strategy.UNSPECIFIED]: 'balanced',
  [apiPb.Strategy.BALANCED]: 'balanced',
  [apiPb.Strategy.SPREAD]: 'spread',
  [apiPb.Strategy.FIRST]: 'first',
  [apiPb.Strategy.STICKY]: 'sticky',
  [apiPb.Strategy.EXACT]: 'exact'
}

function protocolOf(protocol: apiPb.Protocol): Protocol {
  return protocol === apiPb.Protocol.UDP ? 'udp' : 'tcp'
}

function listenInput({ hello, protocol, answersProbes }: apiPb.ListenTarget, proxy: boolean): RegisterInput['target'] {
  if (proxy && (hello || protocolOf(protocol) === 'udp')) {
    throw new WarrenError(ErrorCode.InvalidArgument, 'a PROXY header cannot be combined with a hello or with udp', {
      hint: 'Ask for one of the two; the hello names the peer as well.'
    })
  }
  return { kind: 'listen', hello, protocol: protocolOf(protocol), answersProbes, proxy }
}

function targetInput(target: apiPb.Target | undefined): RegisterInput['target'] {
  const kind = target?.kind.case
  if (target !== undefined && target.serverUser !== '' && kind !== 'tcp' && kind !== 'udp') {
    throw new WarrenError(ErrorCode.InvalidArgument, 'a user of the server needs a tcp or udp target', {
      hint: 'A unix socket must be served by the user who registers.'
    })
  }
  if (target?.gateway === true && kind !== 'tcp') {
    throw new WarrenError(ErrorCode.InvalidArgument, 'a gateway needs a tcp target', {
      hint: 'Give the server for which it stands, as in db.example.net:5432.'
    })
  }
  switch (target?.kind.case) {
    case 'listen':
      return listenInput(target.kind.value, target.proxyProtocol)
    case 'tcp':
    case 'udp': {
      const { proxyProtocol: proxy, serverUser, gateway } = target
      return { kind: target.kind.case, address: target.kind.value, proxy, serverUser, gateway }
    }
    case 'unix':
      return { kind: 'unix', path: target.kind.value, proxy: target.proxyProtocol }
    case undefined:
      if (target !== undefined) {
        throw new WarrenError(ErrorCode.InvalidArgument, 'the target is empty', {
          hint: 'Give one of listen, tcp, udp or unix, or leave the target out to register a client.'
        })
      }
      return undefined
  }
}
