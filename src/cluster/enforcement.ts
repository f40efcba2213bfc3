import type { ErrorCode, Logger } from '../core/index.ts'
import type { EventFields, EventSource, RegistrationEnd } from '../events/index.ts'
import type { PeerKey } from '../identity/index.ts'
import type { AppliedPolicies } from './receipts/index.ts'

/** The actions of enforcement on the data plane. */
export interface EnforcedProxy {
  /** Verifies every session and flow again, and cuts those that are no longer allowed before it returns. */
  readonly reevaluate: (reason: string) => void
  /** Returns what counts the flows of this moment that are cut by then. */
  readonly countCuts: () => () => number
  /** Ends everything of a registration of this host. A source that is just connecting receives `code`. */
  readonly registrationEnded: (registrationId: string, reason: string, code: ErrorCode) => void
}

export interface EnforcementDeps {
  readonly events: EventSource
  readonly proxy: EnforcedProxy
  readonly evictions: {
    /** Drops the records of hosts that are revoked now, and then their connections. */
    readonly carryOut: () => void
  }
  readonly workloads: {
    /** Ends the registrations that no entry grants any more. Resolves when those are ended that needed a look at their process. */
    readonly review: () => Promise<void>
  }
  /** Which versions of the policy are applied here: for receipts. */
  readonly applied: Pick<AppliedPolicies, 'begin'>
  readonly registry: {
    /** Verifies every owner anew, and drops those that are no longer valid. */
    readonly verifyOwners: () => void
    readonly delete: (registrationId: string) => void
  }
  /** Closes the connections to a host, if there are any. */
  readonly disconnect: (peer: PeerKey) => void
  readonly health: { readonly remove: (registrationId: string) => void }
  /** Every store of certificates of this host's workloads. */
  readonly svids: ReadonlyArray<{ readonly remove: (registrationId: string) => void }>
  /** Renews what is due now that other roots are trusted. */
  readonly trustChanged: () => void
  /** Signs and publishes the profile of this host again. */
  readonly announce: () => void
  readonly log: Logger
}

/** Changes of the registry after which a host is no member here. */
const ENDS_A_HOST: ReadonlySet<string> = new Set(['left', 'expired', 'revoked', 'quarantined'])
const ENDED_BY_POLICY: ReadonlySet<RegistrationEnd> = new Set(['revoked', 'no longer granted'])

/** One step of an order, with its name for the log. */
type Step = readonly [name: string, run: () => void]

/**
 * The order in which a change of policy, trust, registry or registrations takes effect on this host.
 *
 * It is notified first of each change, and all of its steps have run before the change is answered. A step that fails is
 * logged and does not prevent the later ones: they take away rights as well.
 */
export class Enforcement {
  readonly #deps: EnforcementDeps
  /** Registrations that the policy has ended. */
  #ended = 0

  constructor(deps: EnforcementDeps) {
    this.#deps = deps
  }

  /** From now on every change takes effect. Call it before any other subscriber is added. */
  start(): void {
    const { events, proxy } = this.#deps
    events.on('policy-changed', fields => this.#policyChanged(fields))
    events.on('policy-unheard', () => this.#run([['flows', () => proxy.reevaluate('the policy is not confirmed')]]))
    events.on('trust-changed', fields => this.#trustChanged(fields))
    events.on('registry-changed', fields => this.#registryChanged(fields))
    events.on('registration-ended', fields => this.#registrationEnded(fields))
  }

  #policyChanged({ reason }: EventFields['policy-changed']): void {
    const { proxy, evictions, workloads, announce, applied } = this.#deps
    const [finish, flowsCut, endedBefore] = [applied.begin(), proxy.countCuts(), this.#ended]
    let reviewed = Promise.resolve()
    const failed = this.#run([
      // First, while the records still exist: then the reason of a cut is the revocation, not a missing record.
      ['flows', () => proxy.reevaluate(reason)],
      ['evictions', () => evictions.carryOut()],
      [
        'registrations',
        () => {
          reviewed = workloads.review()
        }
      ],
      // Last: the others learn that the new version is in force here when it is.
      ['announcement', announce]
    ])
    const end = (more: readonly string[]): void =>
      finish({ flowsCut: flowsCut(), registrationsEnded: this.#ended - endedBefore, failed: [...failed, ...more] })
    reviewed.then(
      () => end([]),
      (err: unknown) => {
        this.#deps.log.error('a step of enforcement failed', { component: 'registrations', err })
        end(['registrations'])
      }
    )
  }

  #trustChanged({ reason, gone }: EventFields['trust-changed']): void {
    const { proxy, registry, disconnect, announce, trustChanged } = this.#deps
    this.#run([
      ['flows', () => proxy.reevaluate(reason)],
      ['owners', () => registry.verifyOwners()],
      ...gone.map((peer): Step => ['connections', () => disconnect(peer)]),
      ['announcement', announce],
      ['certificates', trustChanged]
    ])
  }

  #registryChanged({ cause, machine, removed }: EventFields['registry-changed']): void {
    // An addition takes nothing away, but with a host ends what this one relays for it.
    if (removed === 0 && !ENDS_A_HOST.has(cause)) return
    this.#run([['flows', () => this.#deps.proxy.reevaluate(`registry: ${cause} of ${machine}`)]])
  }

  #registrationEnded({ registrationId, reason, code }: EventFields['registration-ended']): void {
    const { proxy, health, svids, registry } = this.#deps
    if (ENDED_BY_POLICY.has(reason)) this.#ended += 1
    this.#run([
      // Before the flows: a running probe must not report a target that has no owner any more.
      ['health checks', () => health.remove(registrationId)],
      ['flows', () => proxy.registrationEnded(registrationId, reason, code)],
      ...svids.map((each): Step => ['certificates', () => each.remove(registrationId)]),
      // Last: other hosts learn of the end when nothing of it is left here.
      ['record', () => registry.delete(registrationId)]
    ])
  }

  /** Returns the names of the steps that failed. */
  #run(steps: readonly Step[]): string[] {
    const failed: string[] = []
    for (const [name, run] of steps) {
      try {
        run()
      } catch (err) {
        this.#deps.log.error('a step of enforcement failed', { component: name, err })
        failed.push(name)
      }
    }
    return failed
  }
}
