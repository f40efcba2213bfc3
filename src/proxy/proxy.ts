import {
  detach,
  ErrorCode,
  loop,
  RateLimitedLog,
  raceAbort,
  silentMetrics,
  UNAUTHENTICATED_LINES,
  WarrenError,
  within
} from '../core/index.ts'
import { silentEvents } from '../events/index.ts'
import { formatAddress, spiffeIdOf } from '../identity/index.ts'
import { AdoptedFlows } from './adopted-flows.ts'
import { carrierParts } from './carrier-parts.ts'
import { EXPECTED_CARRIER, probeCarriers, requireCarrier, streamPath } from './carriers/index.ts'
import type { DataPlane } from './data-plane.ts'
import { PacketPort } from './datagram/packet/index.ts'
import type { ProxyDeps } from './deps.ts'
import { drainFlows } from './drain.ts'
import { FastPathBudget } from './fastpath/index.ts'
import { countCuts, FlowTable, newFlowId } from './flow/index.ts'
import { FLOWS, HandedFlows } from './handed-flows.ts'
import { Admission, DataServer, InboundMeetings, isDataByte, ResumableFlows } from './inbound/index.ts'
import { Interruptions } from './interruptions.ts'
import { resolveLimits } from './limits.ts'
import {
  EndpointDirectory,
  Endpoints,
  Outbound,
  openError,
  openListener,
  Passages,
  Resumer,
  SourceFlows
} from './outbound/index.ts'
import { PolicyEnforcer } from './policy-enforcer.ts'
import { KeptAccounts } from './resume/index.ts'
import { Liveness, SessionPool } from './session/index.ts'
import { SessionAlarms } from './session-alarms.ts'
import { ADOPTED_TIMEOUT_MS, HELLO_TIMEOUT_MS, OPEN_TIMEOUT_MS, STOP_TIMEOUT_MS } from './timing.ts'
import { ContextCache } from './tls/index.ts'

const SWEEP_INTERVAL_MS = 5_000

/** A proxy over its collaborators. Does nothing until `start`. Throws INVALID_OPTION for a limit out of range. */
export function createDataPlane(deps: ProxyDeps): DataPlane {
  const { log, clock, local } = deps
  const limits = resolveLimits(deps.limits)
  requireCarrier(deps.carrier)
  const metrics = deps.metrics ?? silentMetrics
  const stopping = new AbortController()
  const flows = new FlowTable({
    limits,
    log,
    clock,
    metrics,
    events: deps.events ?? silentEvents,
    tracer: deps.tracer,
    userOf: local.userOf,
    processOf: local.processOf,
    limitsOf: local.limitsOf
  })
  const contexts = new ContextCache(local.svid, deps.roots)
  const liveness = new Liveness(clock.monotonicMs)
  const packets = new PacketPort(log, deps.oversize, metrics)
  const fastPath = new FastPathBudget(limits.fastPathConnections, metrics)
  const admission = new Admission(deps, flows, limits)
  const { resumeWindowMs = 0 } = deps
  const resumes = resumeWindowMs > 0
  const interruptions = new Interruptions(deps, resumeWindowMs, new KeptAccounts(limits, metrics))
  const parts = carrierParts(deps, packets, stopping.signal)
  const pool = new SessionPool({
    deps,
    carriers: parts.all,
    limits,
    contexts,
    liveness,
    packets: { port: packets, outside: parts.outside },
    fastPath,
    stopping: stopping.signal
  })
  const handed = new HandedFlows(log)
  const resuming = { deps, pool, admission, interruptions, handed, stopping: stopping.signal }
  const resumer = resumes ? new Resumer(resuming) : undefined
  const resumable = resumes ? new ResumableFlows(deps, admission, interruptions, handed) : undefined
  const outbound = new Outbound({ deps, flows, pool, admission, resumer })
  const both = resumer === undefined || resumable === undefined ? undefined : { outbound: resumer, inbound: resumable }
  const adopted = new AdoptedFlows({ deps, flows, admission, handed, resuming: both, stopping: stopping.signal })
  const directory = new EndpointDirectory(deps.runtimeDir)
  const sourceFlows = new SourceFlows({ deps, flows, outbound, stopping: stopping.signal })
  const endpoints = new Endpoints(deps, limits, sourceFlows, directory)
  const passages = new Passages(limits, directory, { deps, sourceFlows })
  const inbound = {
    deps,
    warnings: new RateLimitedLog(log, clock, UNAUTHENTICATED_LINES),
    flows,
    admission,
    liveness,
    maxStreams: limits.flowsPerWorkload,
    packets,
    meetings: new InboundMeetings({ deps, outside: parts.outside, stopping: stopping.signal }),
    fastPath,
    stopping: stopping.signal,
    resumable
  }
  const server = new DataServer(inbound, contexts, limits, parts.openings)
  const enforcer = new PolicyEnforcer(deps, flows, pool, server)
  const alarms = new SessionAlarms(pool, server)
  let stopped: Promise<void> | undefined

  async function stop(): Promise<void> {
    stopping.abort(new WarrenError(ErrorCode.FlowCut, 'the agent stops'))
    endpoints.remove()
    passages.stop()
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
      // Before another agent can ask for them.
      adopted.take(deps.handover?.take(FLOWS))
      deps.handover?.leave(FLOWS, () => {
        server.turnAway()
        passages.pause()
        return handed.leave()
      })
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
    atMeshPort: { takes: isDataByte, serve: (socket, byte) => server.acceptAtMeshPort(socket, byte) },
    probe: (agent, signal) => probeCarriers(parts.all, agent, clock, signal),
    ...parts.answers(server),
    pathAppeared(machine) {
      pool.pathAppeared(machine)
      resumer?.pathAppeared(machine)
      const peer = deps.directory.peerOf(machine)
      if (peer !== undefined) parts.pathAppeared(peer)
    },

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
        return {
          path,
          spiffeId: spiffeIdOf(deps.trustDomain, reached.candidate.address),
          helloTimeoutMs: HELLO_TIMEOUT_MS
        }
      } catch (err) {
        const error = signal.aborted ? err : openError(err, destination)
        const { reason, code } = WarrenError.from(error)
        flows.end(flow, reason, code)
        throw error
      }
    },

    listen: request => openListener(request, { deps, sourceFlows }),
    preparePassage: user => passages.prepare(user),
    listenOnPassed: request => passages.listen(request),

    registrationEnded(registrationId, reason, code = ErrorCode.InvalidSource) {
      endpoints.remove(registrationId)
      contexts.drop(registrationId)
      admission.forget(registrationId)
      enforcer.registrationEnded(registrationId, reason, code)
    },

    reevaluate(reason) {
      enforcer.run(reason)
      parts.review()
    },
    countCuts: () => countCuts(flows),
    preview(authorize, endedOf) {
      const infos = flows.list(alarms.ofFlow())
      // Both go through the table in its order.
      return enforcer.preview(authorize, endedOf).flatMap(({ position, reason }) => {
        const flow = infos[position]
        return flow === undefined ? [] : [{ flow, reason }]
      })
    },
    canContinueAlone: () => adopted.canContinueAlone,
    adopt: () => adopted.begin(),
    carried: () => adopted.carried(ADOPTED_TIMEOUT_MS),
    drain: options => drainFlows(flows, options, log, flow => handed.canLeave(flow)),
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
      endpoints: endpoints.size,
      waiting: interruptions.size,
      relayed: parts.relayed
    })
  }
}
