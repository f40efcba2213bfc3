import type { Duplex } from 'node:stream'
import type { LocalUser } from '../attest/index.ts'
import {
  detach,
  ErrorCode,
  type HostPort,
  loop,
  type Protocol,
  RateLimitedLog,
  raceAbort,
  silentMetrics,
  WarrenError,
  within
} from '../core/index.ts'
import { silentEvents } from '../events/index.ts'
import { formatAddress, type Pattern, type PeerKey } from '../identity/index.ts'
import {
  carriers,
  EXPECTED_CARRIER,
  type Probed,
  type ProbedAgent,
  probeCarriers,
  requireCarrier,
  streamPath
} from './carriers/index.ts'
import { PacketPort } from './datagram/packet/index.ts'
import type { ProxyDeps } from './deps.ts'
import { type Drained, type DrainOptions, drainFlows } from './drain.ts'
import { FastPathBudget } from './fastpath/index.ts'
import { type ConnectionEnd, type FlowInfo, FlowTable, type FlowTotals, newFlowId } from './flow/index.ts'
import { Admission, DataServer } from './inbound/index.ts'
import { resolveLimits } from './limits.ts'
import {
  EndpointDirectory,
  Endpoints,
  Outbound,
  openError,
  type SourceHandle,
  type Strategy
} from './outbound/index.ts'
import { PolicyEnforcer } from './policy-enforcer.ts'
import { Liveness, SessionPool } from './session/index.ts'
import { type SessionAlarm, SessionAlarms } from './session-alarms.ts'
import { HELLO_TIMEOUT_MS, OPEN_TIMEOUT_MS, STOP_TIMEOUT_MS } from './timing.ts'
import { ContextCache } from './tls/index.ts'
import { UNAUTHENTICATED_LINES } from './unauthenticated-lines.ts'

export interface ConnectRequest {
  readonly source: SourceHandle
  readonly destination: Pattern
  readonly protocol: Protocol
  /** @default 'balanced' */
  readonly strategy?: Strategy
  /** Begin each connection with a FlowHello. */
  readonly hello: boolean
  /** A connection that is closed before a shutdown for writing is a reset, and no clean end. @default false */
  readonly explicitEnd?: boolean
  readonly signal: AbortSignal
}

export interface ConnectAnswer {
  /** Unix socket of the source's user. Each connection to it is a flow; the same request gets the same socket. */
  readonly path: string
  /** SPIFFE ID of the instance that passed all checks now. */
  readonly spiffeId: string
  readonly helloTimeoutMs: number
}

/** Joins unix sockets of this host to those of other hosts, between proven identities and as the policy allows. */
export interface DataPlane {
  /** Binds the data port. Rejects with PORT_IN_USE, INVALID_OPTION or STATE_UNUSABLE. Must be called once only. */
  readonly start: () => Promise<void>
  /** Cuts every flow and closes everything, within two seconds. Idempotent, never rejects. */
  readonly stop: () => Promise<void>
  /** Where the data port is bound. Throws NOT_READY before `start`. */
  readonly dataAddress: () => HostPort
  /** Takes over a stream that another agent opened to us over the mesh. */
  readonly acceptCarrier: (stream: Duplex, peer: PeerKey, via?: string) => void
  /** Tries every carrier to another agent, whichever may be used, and says how it went. Never rejects. */
  readonly probe: (agent: ProbedAgent, signal: AbortSignal) => Promise<Probed>
  /** A host is connected that was not: ways to it that failed are worth an attempt again. */
  readonly pathAppeared: (machine: string) => void
  /**
   * Performs all checks up to the destination's own socket and then makes a local endpoint for flows to it.
   *
   * Rejects with INVALID_SOURCE, DESTINATION_NOT_FOUND, DESTINATION_UNREACHABLE, CANNOT_CONNECT or UNAUTHORIZED; with
   * LIMIT_EXCEEDED, UNSUPPORTED (an agent that does not carry the protocol) or the signal's reason.
   */
  readonly connect: (request: ConnectRequest) => Promise<ConnectAnswer>
  /**
   * Ends the flows and endpoints of a registration of this host, as source and as destination. `code` is the error for
   * a source whose connection is being opened: TIMEOUT if it may register again. @default INVALID_SOURCE
   */
  readonly registrationEnded: (registrationId: string, reason: string, code?: ErrorCode) => void
  /**
   * Verifies every session and flow again, and cuts those no longer allowed before it returns.
   *
   * Must be called after any change of policy, trust, revocations, registry or registrations; `reason` is logged.
   */
  readonly reevaluate: (reason: string) => void
  /** Waits for flows to end, resets those that do not, and returns the number of each. Never rejects. */
  readonly drain: (options: DrainOptions) => Promise<Drained>
  /**
   * Makes sessions prove the present certificates of their ends, and cuts those whose proved certificate has ended.
   * Must be called after certificates were renewed; it also runs periodically.
   */
  readonly proveAgain: () => Promise<void>
  readonly flows: () => readonly FlowInfo[]
  /** How a connection of `user` ended. */
  readonly connectionEnd: (user: LocalUser, flowId: string) => ConnectionEnd
  /** Resets a connection of `user`, if it is open. */
  readonly resetConnection: (user: LocalUser, flowId: string) => void
  /** Number of flows, those that are being opened among them. The cost does not depend on the number. */
  readonly flowCount: () => number
  /** Sessions with flows that should have been proved again and were not, in the order in which they will be cut. */
  readonly sessionAlarms: () => readonly SessionAlarm[]
  /** Sessions with other agents, in both directions. */
  readonly sessions: () => number
  /** Present figures, and totals since the start. Costs a look at each flow. */
  readonly totals: () => ProxyTotals
}

/** Figures for metrics. */
export interface ProxyTotals {
  readonly flows: FlowTotals
  /** Counted by role; `client`: this agent opened it. */
  readonly sessions: { readonly client: number; readonly server: number }
  /** Those of them with flows that should have been proved again and were not. */
  readonly unproved: { readonly client: number; readonly server: number }
  readonly endpoints: number
}

const SWEEP_INTERVAL_MS = 5_000

/** A proxy over its collaborators. Does nothing until `start`. Throws INVALID_OPTION for a limit out of range. */
export function createDataPlane(deps: ProxyDeps): DataPlane {
  const { log, clock, local } = deps
  const limits = resolveLimits(deps.limits)
  requireCarrier(deps.carrier)
  const stopping = new AbortController()
  const flows = new FlowTable({
    limits,
    log,
    clock,
    metrics: deps.metrics ?? silentMetrics,
    events: deps.events ?? silentEvents,
    userOf: local.userOf,
    limitsOf: local.limitsOf
  })
  const contexts = new ContextCache(local.svid, deps.roots)
  const liveness = new Liveness(clock.monotonicMs)
  const packets = new PacketPort(log, deps.oversize)
  const fastPath = new FastPathBudget(limits.fastPathConnections, deps.metrics ?? silentMetrics)
  const admission = new Admission(deps, flows, limits)
  const all = carriers(deps)
  const pool = new SessionPool({
    deps,
    carriers: all,
    limits,
    contexts,
    liveness,
    packets,
    fastPath,
    stopping: stopping.signal
  })
  const outbound = new Outbound({ deps, flows, pool, admission })
  const directory = new EndpointDirectory(deps.runtimeDir)
  const endpoints = new Endpoints(deps, limits, flows, outbound, directory, stopping.signal)
  const inbound = {
    deps,
    warnings: new RateLimitedLog(log, clock, UNAUTHENTICATED_LINES),
    flows,
    admission,
    liveness,
    maxStreams: limits.flowsPerWorkload,
    packets,
    fastPath,
    stopping: stopping.signal
  }
  const server = new DataServer(inbound, contexts, limits)
  const enforcer = new PolicyEnforcer(deps, flows, pool, server)
  const alarms = new SessionAlarms(pool, server)
  let stopped: Promise<void> | undefined

  async function stop(): Promise<void> {
    stopping.abort(new WarrenError(ErrorCode.FlowCut, 'the agent stops'))
    endpoints.remove()
    flows.review(() => ({ kind: 'shutdown', text: 'the agent stops' }))
    // The resets must leave before their sessions are destroyed.
    await new Promise(resolve => setImmediate(resolve))
    pool.stop()
    admission.forget()
    liveness.stop()
    await server.stop()
  }

  async function proveAgain(): Promise<void> {
    const proving = pool.proveAgain()
    // A peer that is slow to answer, or does not, must not delay the end of others.
    enforcer.cutEnded()
    await proving
    enforcer.cutEnded()
  }

  return {
    async start() {
      try {
        directory.prepare()
      } catch (cause) {
        if (cause instanceof WarrenError) throw cause
        throw new WarrenError(ErrorCode.StateUnusable, `cannot make sockets in ${deps.runtimeDir}`, { cause })
      }
      await server.listen(deps.dataListen)
      const sweeping = loop(
        log,
        'idle sessions',
        { intervalMs: () => SWEEP_INTERVAL_MS, signal: stopping.signal },
        () => pool.sweep()
      )
      detach(
        log,
        'session proofs',
        loop(log, 'session proofs', { intervalMs: () => SWEEP_INTERVAL_MS, signal: stopping.signal }, () =>
          detach(log, 'session proofs', proveAgain(), stopping.signal)
        ),
        stopping.signal
      )
      detach(log, 'idle sessions', sweeping, stopping.signal)
    },

    stop() {
      stopped ??= within(STOP_TIMEOUT_MS, [], signal => raceAbort(stop(), signal)).catch((err: unknown) => {
        log.warn('the proxy did not stop in time', { err })
      })
      return stopped
    },

    dataAddress: () => server.address(),
    acceptCarrier: (stream, peer, via) => server.acceptCarrier(stream, peer, streamPath(via)),
    probe: (agent, signal) => probeCarriers(all, agent, clock, signal),
    pathAppeared: machine => pool.pathAppeared(machine),

    async connect({ source, destination, protocol, strategy = 'balanced', hello, explicitEnd = false, signal }) {
      if (!local.isAlive(source.registrationId)) {
        throw new WarrenError(ErrorCode.InvalidSource, `${formatAddress(source.address)} is not registered`)
      }
      const request = { source, destination, protocol, strategy, hello, explicitEnd }
      endpoints.requireRoom(request)
      const flow = flows.enter({
        id: newFlowId(),
        direction: 'outbound',
        source: source.address,
        sourceId: source.registrationId,
        sourceMachine: deps.machine,
        protocol,
        carrier: EXPECTED_CARRIER
      })
      try {
        const reached = await within(OPEN_TIMEOUT_MS, [signal, flow.signal, stopping.signal], limit =>
          outbound.preflight(flow, { destination, protocol, strategy }, limit)
        )
        const path = await endpoints.pathFor(request, reached.candidate.registrationId)
        flows.checked(flow)
        return { path, spiffeId: reached.spiffeId, helloTimeoutMs: HELLO_TIMEOUT_MS }
      } catch (err) {
        const error = signal.aborted ? err : openError(err, destination)
        const { reason, code } = WarrenError.from(error)
        flows.end(flow, reason, code)
        throw error
      }
    },

    registrationEnded(registrationId, reason, code = ErrorCode.InvalidSource) {
      endpoints.remove(registrationId)
      contexts.drop(registrationId)
      admission.forget(registrationId)
      enforcer.registrationEnded(registrationId, reason, code)
    },

    reevaluate: reason => enforcer.run(reason),
    drain: options => drainFlows(flows, options, log),
    proveAgain,
    connectionEnd: (user, flowId) => flows.endOf(user, flowId),
    resetConnection: (user, flowId) => flows.reset(user, flowId),
    flows: () => flows.list(alarms.ofFlow()),
    sessionAlarms: () => alarms.list(),
    flowCount: () => flows.size,
    sessions: () => pool.size + server.sessions.length,
    totals: () => ({
      flows: flows.totals(),
      sessions: { client: pool.size, server: server.sessions.length },
      unproved: alarms.count(),
      endpoints: endpoints.size
    })
  }
}
