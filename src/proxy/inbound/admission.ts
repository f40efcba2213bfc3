import type { Socket } from 'node:net'
import { ErrorCode, silentMetrics, WarrenError, within } from '../../core/index.ts'
import { type Address, formatAddress, sameAddress } from '../../identity/index.ts'
import type { Target } from '../../workloads/index.ts'
import type { ProxyDeps } from '../deps.ts'
import type { Flow, FlowTable } from '../flow/index.ts'
import { limitExceeded, type ProxyLimits } from '../limits.ts'
import { discardEnd, type LocalByteEnd, type LocalDatagramEnd, type LocalEnd, type UdpEnd } from '../relay/index.ts'
import { REFRESH_TIMEOUT_MS } from '../timing.ts'
import { ConnectTurns } from './connect-turns.ts'
import { guardOf } from './port-target.ts'
import { PreconnectCache } from './preconnect-cache.ts'
import { dialTarget, openUdp, protocolOf } from './target.ts'

/** A flow that passed all checks, with the connection to its target. */
export interface AdmittedFlow<E extends LocalEnd = LocalEnd> {
  readonly end: E
  readonly target: Target
}

/** Maximum of concurrent pulls that unknown sources cause. */
export const MAX_REFRESHES = 32

/** The checks of the destination's agent, the same for a source on another host and on this host. */
export class Admission {
  readonly #deps: ProxyDeps
  readonly #flows: FlowTable
  readonly #preconnects: PreconnectCache
  readonly #turns: ConnectTurns
  readonly #refreshing = new Map<string, Promise<void>>()

  constructor(
    deps: ProxyDeps,
    flows: FlowTable,
    limits: Pick<ProxyLimits, 'preconnectedTargets' | 'connectsPerWorkload'>
  ) {
    this.#deps = deps
    this.#flows = flows
    this.#preconnects = new PreconnectCache(limits.preconnectedTargets)
    const { metrics = silentMetrics, clock } = deps
    this.#turns = new ConnectTurns(limits.connectsPerWorkload, metrics, clock.monotonicMs)
  }

  /** As `admitUdp`, of a flow of TCP. */
  admitTcp(flow: Flow, signal: AbortSignal, isPreflight = false): Promise<AdmittedFlow<LocalByteEnd>> {
    return this.#admit(flow, signal, isPreflight, target => {
      if (target.kind === 'udp' || protocolOf(target) !== 'tcp') return undefined
      return () => this.#dial('socket', flow, target, signal)
    })
  }

  /**
   * Verifies `flow`, a UDP flow whose source is proven and which is in the table, and connects to its target.
   *
   * In order: source registered, policy, destination registered and healthy here, limits, target. Rejects with
   * INVALID_SOURCE, UNAUTHORIZED, DESTINATION_NOT_FOUND, LIMIT_EXCEEDED or DESTINATION_UNREACHABLE.
   */
  admitUdp(flow: Flow, signal: AbortSignal, isPreflight = false): Promise<AdmittedFlow<LocalDatagramEnd>> {
    return this.#admit<LocalDatagramEnd>(flow, signal, isPreflight, target => {
      if (target.kind === 'udp') return () => this.#reachUdp(target, signal)
      return protocolOf(target) === 'udp' ? () => this.#dial('framed', flow, target, signal) : undefined
    })
  }

  /** `reaching` selects how such a target is reached; undefined if it does not serve the protocol of the flow. */
  async #admit<E extends LocalEnd>(
    flow: Flow,
    signal: AbortSignal,
    isPreflight: boolean,
    reaching: (target: Target) => (() => Promise<E>) | undefined
  ): Promise<AdmittedFlow<E>> {
    flow.trace?.step('check source')
    const { registrationId, address } = destinationOf(flow)
    const source = this.#requireSource(flow, signal)
    if (source !== undefined) await source
    this.authorize(flow)
    const record = this.#deps.directory.byId(registrationId)
    const target = this.#deps.local.target(registrationId)
    const named = record?.local === true && sameAddress(record.address, address)
    if (record === undefined || target === undefined || !named || !this.#deps.local.isAlive(registrationId)) {
      throw new WarrenError(ErrorCode.DestinationNotFound, `${formatAddress(address)} is not registered on this host`)
    }
    const reach = reaching(target)
    if (reach === undefined) {
      throw new WarrenError(ErrorCode.DestinationNotFound, `${formatAddress(address)} does not serve ${flow.protocol}`)
    }
    if (record.health !== 'passing' || record.draining) {
      const problem = this.#deps.local.problemOf?.(registrationId)
      const why = problem === undefined ? '' : `: ${problem}`
      const state = record.draining ? 'draining' : record.health + why
      throw new WarrenError(ErrorCode.DestinationUnreachable, `${formatAddress(address)} is ${state}`)
    }
    const turn = isPreflight ? undefined : this.#turn(flow, registrationId, signal)
    if (turn !== undefined) {
      flow.trace?.step('wait for turn')
      await turn
    }
    this.#flows.charge(flow, [flow.sourceId, registrationId])
    flow.trace?.step('connect target')
    const end = await this.#inTurn(flow, registrationId, reach, signal)
    // The decision may have changed during the wait; then the flow was cut, for it is in the table.
    if (flow.signal.aborted) {
      discardEnd(end)
      throw flow.signal.reason
    }
    return { end, target }
  }

  /** The turn of a flow where connections are limited, unless it is now. Rejects with LIMIT_EXCEEDED, or the signal's reason. */
  #turn(flow: Flow, registrationId: string, signal: AbortSignal): Promise<void> | undefined {
    const own = this.#deps.local.limitsOf?.(registrationId).maxConnects
    return this.#turns.pass({ registrationId, source: sourceOf(flow), own, rules: flow.ruleLimits }, signal)
  }

  /** Connects to a target, when fewer connections to it are being opened than may. */
  async #inTurn<E>(flow: Flow, registrationId: string, reach: () => Promise<E>, signal: AbortSignal): Promise<E> {
    const slots = this.#turns.slotsOf(registrationId)
    const turn = slots.enter(sourceOf(flow), signal)
    if (turn !== undefined) await turn
    try {
      return await reach()
    } catch (err) {
      if (WarrenError.is(err, ErrorCode.DestinationUnreachable)) this.#deps.local.targetFailed?.(registrationId)
      throw err
    } finally {
      slots.leave()
    }
  }

  /** Same as `admitTcp` or `admitUdp`, and keeps the connection for the flow that follows. */
  async preflight(flow: Flow, signal: AbortSignal): Promise<void> {
    const { end } =
      flow.protocol === 'tcp' ? await this.admitTcp(flow, signal, true) : await this.admitUdp(flow, signal, true)
    if (end.kind === 'udp') discardEnd(end)
    else this.#preconnects.keep(keyOf(flow), end.socket)
  }

  async #dial<K extends 'socket' | 'framed'>(
    kind: K,
    flow: Flow,
    target: Exclude<Target, { kind: 'udp' }>,
    signal: AbortSignal
  ): Promise<{ readonly kind: K; readonly socket: Socket }> {
    const socket = this.#preconnects.take(keyOf(flow)) ?? (await dialTarget(target, this.#deps.credentials, signal))
    return { kind, socket }
  }

  async #reachUdp(target: Extract<Target, { kind: 'udp' }>, signal: AbortSignal): Promise<UdpEnd> {
    const socket = await openUdp(target, signal)
    return { kind: 'udp', socket, guard: guardOf(target, socket, this.#deps.clock.monotonicMs) }
  }

  /** Evaluates the policy for the flow as it is, and records the rule. Throws UNAUTHORIZED. */
  authorize(flow: Flow): void {
    const { registrationId, address } = destinationOf(flow)
    const decision = this.#deps.authorize({
      source: flow.source,
      destination: address,
      destinationRegistrationId: registrationId,
      protocol: flow.protocol
    })
    const rule = decision.rule === '' ? decision.ground : decision.rule
    const isNews = decision.ground === 'AUDIT' && flow.rule !== rule
    flow.rule = rule
    // Once for each flow: it is decided again when another instance is tried.
    if (isNews) this.#flows.audited(flow, rule, decision.text)
    flow.ruleLimits = decision.limits ?? []
    if (!decision.allowed) throw new WarrenError(ErrorCode.Unauthorized, decision.text)
  }

  /** Closes connections that were cached for flows to a registration that ended; without an argument, all. */
  forget(registrationId?: string): void {
    this.#preconnects.clear(registrationId)
    this.#turns.forget(registrationId)
  }

  /** Returns undefined if the source is registered, else a promise of the answer of its host. Throws or rejects with INVALID_SOURCE. */
  #requireSource(flow: Flow, signal: AbortSignal): Promise<void> | undefined {
    const { directory, local } = this.#deps
    const { source, sourceId, sourceMachine } = flow
    if (sourceId !== undefined) {
      if (local.isAlive(sourceId)) return undefined
      throw new WarrenError(ErrorCode.InvalidSource, `${formatAddress(source)} is not registered`)
    }
    return directory.sourceAt(source, sourceMachine) ? undefined : this.#askForSource(flow, signal)
  }

  // The source may be newly registered: its connection may arrive before the news of its registration.
  async #askForSource({ source, sourceMachine }: Flow, signal: AbortSignal): Promise<void> {
    await this.#refresh(sourceMachine, signal)
    if (this.#deps.directory.sourceAt(source, sourceMachine)) return
    throw new WarrenError(ErrorCode.InvalidSource, `${formatAddress(source)} is not known to be registered`)
  }

  async #refresh(machine: string, signal: AbortSignal): Promise<void> {
    const peer = this.#deps.directory.peerOf(machine)
    if (peer === undefined) return
    let pull = this.#refreshing.get(machine)
    if (pull === undefined) {
      if (this.#refreshing.size >= MAX_REFRESHES) {
        const metrics = this.#deps.metrics ?? silentMetrics
        throw limitExceeded(metrics, 'proxy_source_pulls', 'pulls of unknown sources', MAX_REFRESHES, { machine })
      }
      pull = within(REFRESH_TIMEOUT_MS, [], limit => this.#deps.directory.refresh(peer, limit))
        .catch((err: unknown) => {
          this.#deps.log.debug('pull of an unknown source failed', { machine, err })
        })
        .finally(() => this.#refreshing.delete(machine))
      this.#refreshing.set(machine, pull)
    }
    await pull
    signal.throwIfAborted()
  }
}

function destinationOf(flow: Flow): { registrationId: string; address: Address } {
  if (flow.destination === undefined)
    throw new WarrenError(ErrorCode.Internal, 'a flow without a destination was evaluated')
  return flow.destination
}

function sourceOf({ sourceText, sourceMachine }: Flow): string {
  return `${sourceText} at ${sourceMachine}`
}

function keyOf(flow: Flow): string {
  return `${destinationOf(flow).registrationId}/${flow.sourceMachine}/${formatAddress(flow.source)}/${flow.protocol}`
}
