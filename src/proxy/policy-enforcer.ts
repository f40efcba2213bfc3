import { ErrorCode, type Logger } from '../core/index.ts'
import { formatAddress } from '../identity/index.ts'
import type { RuleLimits } from '../policy/index.ts'
import type { ProxyDeps } from './deps.ts'
import type { Cut, Flow, FlowTable } from './flow/index.ts'
import type { DataServer } from './inbound/index.ts'
import type { ClientSession, SessionPool } from './session/index.ts'

/** Verifies open sessions and flows again, with the policy, trust and registrations of this moment. */
export class PolicyEnforcer {
  readonly #deps: ProxyDeps
  readonly #flows: FlowTable
  readonly #pool: SessionPool
  readonly #server: DataServer
  readonly #log: Logger

  constructor(deps: ProxyDeps, flows: FlowTable, pool: SessionPool, server: DataServer) {
    this.#deps = deps
    this.#flows = flows
    this.#pool = pool
    this.#server = server
    this.#log = deps.log
  }

  /** Cuts every session and flow that would not be allowed now. */
  run(reason: string): void {
    const evaluate = this.#evaluation(this.#deps.authorize)
    let count = this.#flows.review(flow => {
      const { cut, limits } = evaluate(flow)
      if (limits !== undefined) flow.ruleLimits = limits
      return cut ?? this.#distrusted(flow)
    })
    this.#flows.followLimits()
    count += this.#reviewSessions()
    if (count > 0) this.#log.info('flows and sessions cut', { reason, count })
  }

  /** The flows that `run` would cut if the policy answered so, by their positions in the table. Cuts nothing. */
  preview(
    authorize: ProxyDeps['authorize'],
    endedOf: (registrationId: string) => string | undefined
  ): Array<{ readonly position: number; readonly reason: string }> {
    const evaluate = this.#evaluation(authorize)
    const endOf = ({ sourceId = '', destination }: Flow): string | undefined =>
      endedOf(sourceId) ?? endedOf(destination?.registrationId ?? '')
    return this.#flows
      .those(() => true)
      .flatMap((flow, position) => {
        if (flow.cutBy !== undefined) return []
        const end = endOf(flow)
        const reason = evaluate(flow).cut?.text ?? (end === undefined ? undefined : `registration ended: ${end}`)
        return reason === undefined ? [] : [{ position, reason }]
      })
  }

  /**
   * Cuts the sessions of which the certificate of the other end has ended, with their flows, and closes those without any.
   * Must be called periodically.
   */
  cutEnded(): void {
    const now = this.#deps.clock.wallMs()
    const ended = [
      ...this.#pool.all().filter(({ ends }) => now >= ends.notAfterMs),
      ...this.#server.sessions.filter(({ source }) => now >= source.notAfterMs)
    ]
    // A session that carries nothing proves nothing again: it ends in order, which is no news for an operator.
    for (const session of ended) if (session.isIdle) session.destroy()
    if (ended.some(({ isIdle }) => !isIdle)) this.run('a certificate has ended')
  }

  /** Cuts the flows from and to a registration of this host, and closes its sessions. */
  registrationEnded(registrationId: string, reason: string, code: ErrorCode): void {
    const cut: Cut = { kind: 'registration', text: `registration ended: ${reason}` }
    const ofSource: Cut = { ...cut, code }
    const ofDestination: Cut = { ...cut, code: ErrorCode.DestinationNotFound }
    this.#flows.review(flow => {
      if (flow.sourceId === registrationId) return ofSource
      return flow.destination?.registrationId === registrationId ? ofDestination : undefined
    })
    for (const session of this.#pool.all()) if (session.sourceId === registrationId) session.end()
    for (const session of this.#server.sessions) {
      if (registrationId.startsWith(session.destinationPrefix)) session.cut(cut)
    }
  }

  /** Evaluates flows in one pass, those that are alike once. */
  #evaluation(authorize: ProxyDeps['authorize']): (flow: Flow) => Evaluated {
    const evaluated = new Map<string, Evaluated>()
    return flow => {
      const key = keyOf(flow)
      const known = evaluated.get(key) ?? this.#evaluateFlow(flow, authorize)
      evaluated.set(key, known)
      return known
    }
  }

  #evaluateFlow(flow: Flow, authorize: ProxyDeps['authorize']): Evaluated {
    const cut = this.#lostEnd(flow)
    const { destination } = flow
    // No destination yet: the code that selects one evaluates the policy.
    if (cut !== undefined || destination === undefined) return { cut }
    const { silentHosts, directory } = this.#deps
    const isGone = directory.byId(destination.registrationId) === undefined
    return this.#verifyPolicy(
      flow,
      destination,
      isGone && silentHosts !== undefined ? silentHosts.authorize : authorize
    )
  }

  // A flow that waits has no session that is verified.
  #distrusted({ interruption }: Flow): Cut | undefined {
    if (interruption?.isWaiting !== true) return undefined
    const { leafDer, machine } = interruption
    return this.#verifyTrust(leafDer, Number.POSITIVE_INFINITY, machine, true)
  }

  /** Whether the flow has lost its path a short time ago, and this host is silent since, without a word of its own. */
  #isSilent({ interruption }: Flow, machine: string): boolean {
    if (interruption === undefined || this.#deps.clock.monotonicMs() > interruption.untilMs) return false
    return this.#deps.silentHosts?.isSilent(machine) === true
  }

  /** Why one end of a flow is not there any more. */
  #lostEnd(flow: Flow): Cut | undefined {
    const { directory, local } = this.#deps
    const { destination, sourceId } = flow
    if (sourceId !== undefined && !local.isAlive(sourceId)) return ended('source', 'its registration ended')
    if (sourceId === undefined && !directory.sourceAt(flow.source, flow.sourceMachine)) {
      if (!this.#isSilent(flow, flow.sourceMachine)) return ended('source', 'it is no longer registered')
    }
    if (destination === undefined) return undefined
    const record = directory.byId(destination.registrationId)
    if (record === undefined && this.#isSilent(flow, destination.address.machine)) return undefined
    if (record === undefined || formatAddress(record.address) !== formatAddress(destination.address)) {
      return ended('destination', 'it is no longer registered')
    }
    if (flow.direction !== 'outbound' && !local.isAlive(destination.registrationId)) {
      return ended('destination', 'its registration ended')
    }
    return undefined
  }

  #verifyPolicy(
    flow: Flow,
    destination: NonNullable<Flow['destination']>,
    authorize: ProxyDeps['authorize']
  ): Evaluated {
    try {
      const decision = authorize({
        source: flow.source,
        destination: destination.address,
        destinationRegistrationId: destination.registrationId,
        protocol: flow.protocol
      })
      const limits = decision.limits ?? []
      if (decision.allowed) return { cut: undefined, limits }
      return { cut: { kind: 'policy', text: `no longer allowed: ${decision.text}` }, limits }
    } catch (err) {
      this.#log.error('policy failed to answer', { err })
      return { cut: { kind: 'policy', text: 'no longer allowed: the policy failed to answer' } }
    }
  }

  #reviewSessions(): number {
    let count = 0
    const resumed = this.#flows.those(({ interruption }) => interruption !== undefined)
    for (const session of this.#pool.all()) {
      const { ends, destination } = session
      const isTolerated = resumed.some(flow => session.carries(flow.id) && this.#isSilent(flow, destination.machine))
      const cut = this.#verifyTrust(ends.leafDer, ends.notAfterMs, destination.machine, isTolerated)
      if (cut === undefined) {
        if (session.isIdle && !this.#isWanted(session)) session.destroy()
        continue
      }
      count += 1
      this.#flows.review(flow => (session.carries(flow.id) ? cut : undefined))
      session.end()
    }
    for (const session of this.#server.sessions) {
      const { source, leafDer } = session
      const { directory } = this.#deps
      // A flow was resumed in it, and the news of the other host have not arrived yet.
      const isTolerated = resumed.some(flow => session.carries(flow) && this.#isSilent(flow, source.machine))
      const known = isTolerated || directory.sourceAt(source.address, source.machine)
      const cut = this.#verifyTrust(leafDer, source.notAfterMs, source.machine, isTolerated)
      if (known && cut === undefined) continue
      count += 1
      session.cut(cut ?? ended('source', 'it is no longer registered'))
    }
    return count
  }

  // A flow may outlive the certificates that it began with, but not the identity: its session lasts as long as the
  // certificates that were proved in it since, and no longer.
  #verifyTrust(leafDer: Uint8Array, notAfterMs: number, machine: string, mayBeSilent: boolean): Cut | undefined {
    const lost = (why: string): Cut => ({ kind: 'trust', text: `the other end is no longer trusted: ${why}` })
    const isSilent = mayBeSilent && this.#deps.silentHosts?.isSilent(machine) === true
    if (this.#deps.directory.peerOf(machine) === undefined && !isSilent) return lost(`${machine} is not a member now`)
    if (this.#deps.clock.wallMs() >= notAfterMs) {
      return lost(`its certificate ended at ${new Date(notAfterMs).toISOString()}, and it has proved no other since`)
    }
    const verdict = this.#deps.verifier.workload(leafDer)
    return verdict.ok ? undefined : lost(verdict.detail)
  }

  #isWanted({ sourceId, destination }: ClientSession): boolean {
    return this.#deps.local.isAlive(sourceId) && this.#deps.directory.byId(destination.registrationId) !== undefined
  }
}

/** What a pass found of flows that are alike. */
interface Evaluated {
  readonly cut: Cut | undefined
  /** The limits of the rules that allow them, if the policy was asked. */
  readonly limits?: readonly RuleLimits[]
}

function ended(which: 'source' | 'destination', why: string): Cut {
  return { kind: 'registration', text: `${which} gone: ${why}` }
}

// Flows with the same key get the same answer within one pass.
function keyOf(flow: Flow): string {
  const { sourceId, sourceMachine, source, destination, direction, protocol } = flow
  const since = flow.interruption?.untilMs ?? 0
  return [
    sourceId ?? sourceMachine,
    formatAddress(source),
    destination?.registrationId,
    direction,
    protocol,
    since
  ].join('/')
}
