import type { KeyObject } from 'node:crypto'
import { type Clock, detach, type Logger, type Metrics, TokenBuckets } from '../../core/index.ts'
import type { EventSink } from '../../events/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { AdminKey, InForce } from '../../policy/index.ts'
import type { policyPb } from '../../wire/index.ts'
import { type Confirmation, confirmationOf, openConfirmation } from './confirmation.ts'
import { isOver, mayConfirm, policyDigest, verdictOn } from './verdict.ts'

/** Announced by a host that has a bound: then hosts of admins confirm the policy. */
export const POLICY_LEASE_CAPABILITY = 'policy-lease'

/** What an agent adds to the sets of its admins. */
export interface LeaseParts {
  /** Undefined: this host serves however long it hears nothing. */
  readonly boundMs: number | undefined
  /** The private key of the root, on its host. */
  readonly rootSigner: KeyObject | undefined
  /** Whether any host has a bound. */
  readonly isAsked: () => boolean
  readonly events: EventSink
}

export interface PolicyLeaseDeps extends Partial<LeaseParts> {
  readonly trustDomain: string
  readonly rootKey: AdminKey
  readonly inForce: () => InForce
  /** Of the newest bundle of the root. */
  readonly rootSha256: () => string | undefined
  /** The admin of this host; undefined if it has no rights. */
  readonly own: () => { readonly key: AdminKey; readonly signer: KeyObject } | undefined
  readonly transport: { readonly publish: (bytes: Uint8Array) => Promise<number> }
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** At least three within the least bound. */
const CONFIRM_MS = 3_000
const LOOK_MS = 500
/** Confirmations of 64 admins at once, by one neighbour. */
const SENDER_RATE = { burst: 256, perSecond: 32, maxKeys: 1_024 }
const WITHHELD = 'no host of an admin has confirmed the policy within --policy-lease, so this host serves nothing'

/** Whether this host may serve, by the confirmations of hosts of admins; and the confirmations of this one. */
export class PolicyLease {
  readonly #deps: PolicyLeaseDeps
  readonly #ofSender = new TokenBuckets<PeerKey>(SENDER_RATE)
  /** The newest of each admin with rights. */
  readonly #newest = new Map<AdminKey, Confirmation & { readonly receivedAtMs: number }>()
  readonly #timers: NodeJS.Timeout[] = []
  #heardAtMs: number
  #isWithheld = false
  #lastSignedAtMs = 0

  constructor(deps: PolicyLeaseDeps) {
    this.#deps = deps
    this.#heardAtMs = deps.clock.monotonicMs()
  }

  /** The bound begins, and confirmations of this host, if it has the key of an admin. */
  start(): void {
    const { boundMs, clock, log, metrics } = this.#deps
    this.#heardAtMs = clock.monotonicMs()
    this.#timers.push(setInterval(() => this.#confirm(), CONFIRM_MS).unref())
    metrics.set('warren_policy_withheld', {}, 0)
    if (boundMs === undefined) return
    log.info('this host serves nothing once no host of an admin has confirmed the policy for so long', {
      durationMs: boundMs
    })
    this.#timers.push(setInterval(() => this.#look(), LOOK_MS).unref())
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer)
  }

  /** Why this host serves nothing now; undefined if it serves. */
  get withheld(): string | undefined {
    const { boundMs } = this.#deps
    if (boundMs === undefined) return undefined
    return isOver({ boundMs, isAdmin: this.#isAdmin, unheardMs: this.#unheardMs }) ? WITHHELD : undefined
  }

  /** As `warren status` shows it. */
  get status(): {
    readonly policyLeaseMs: bigint
    readonly policyUnheardMs: bigint
    readonly policyWithheld: boolean
  } {
    const { boundMs } = this.#deps
    const unheardMs = boundMs === undefined || this.#isAdmin ? 0 : this.#unheardMs
    return {
      policyLeaseMs: BigInt(boundMs ?? 0),
      policyUnheardMs: BigInt(Math.round(unheardMs)),
      policyWithheld: this.withheld !== undefined
    }
  }

  /** Verifies a confirmation, and counts it if it is of the policy in force here. */
  onGossip(message: policyPb.SignedConfirmation, from: PeerKey): 'accept' | 'ignore' | 'reject' {
    const { trustDomain, inForce, clock, boundMs } = this.#deps
    const { verify, ...confirmation } = openConfirmation(message, trustDomain)
    const { author } = confirmation
    const receivedAtMs = clock.monotonicMs()
    const verdict = verdictOn(confirmation, {
      inForce: inForce(),
      policy: this.#policy(),
      lastSignedAtMs: this.#newest.get(author)?.signedAtMs,
      boundMs,
      wallMs: clock.wallMs()
    })
    if (verdict === 'worthless' || !this.#ofSender.take(from, receivedAtMs)) return 'ignore'
    if (!verify()) return 'reject'
    if (verdict === 'out-of-time') return 'accept'
    this.#newest.set(author, { ...confirmation, receivedAtMs })
    this.#look()
    return 'accept'
  }

  /** Counts what is of the policy in force by now: it may have come before the policy itself. */
  #look(): void {
    const { inForce, events, log, metrics, boundMs } = this.#deps
    const { admins } = inForce()
    const policy = this.#policy()
    for (const [author, { policy: confirmed, receivedAtMs }] of this.#newest) {
      if (!mayConfirm(admins, author)) this.#newest.delete(author)
      else if (confirmed === policy) this.#heardAtMs = Math.max(this.#heardAtMs, receivedAtMs)
    }
    const isWithheld = this.withheld !== undefined
    if (isWithheld === this.#isWithheld) return
    this.#isWithheld = isWithheld
    metrics.set('warren_policy_withheld', {}, isWithheld ? 1 : 0)
    if (isWithheld) {
      log.error(`${WITHHELD}: let it reach a host of an admin`, { durationMs: boundMs ?? 0 })
      events?.emit('policy-unheard', { boundMs: boundMs ?? 0 })
      return
    }
    const admin = this.#heardFrom(policy)
    log.warn('the policy is confirmed again: this host serves', { reason: admin })
    events?.emit('policy-heard', { admin })
  }

  #heardFrom(policy: string): string {
    const [newest] = [...this.#newest.values()]
      .filter(one => one.policy === policy)
      .toSorted((a, b) => b.receivedAtMs - a.receivedAtMs)
    return this.#deps.inForce().admins.find(({ key }) => key === newest?.author)?.name ?? ''
  }

  #confirm(): void {
    const { isAsked, own, trustDomain, transport, clock, log } = this.#deps
    const admin = own()
    if (admin === undefined || isAsked?.() !== true) return
    // Others take no second one of one date.
    this.#lastSignedAtMs = Math.max(Math.round(clock.wallMs()), this.#lastSignedAtMs + 1)
    const confirmation = { author: admin.key, signedAtMs: this.#lastSignedAtMs, policy: this.#policy() }
    detach(
      log,
      'confirmation of the policy',
      transport.publish(confirmationOf(confirmation, trustDomain, admin.signer)).then(() => {})
    )
  }

  #policy(): string {
    const { inForce, rootKey, rootSha256 } = this.#deps
    return policyDigest(inForce(), rootKey, rootSha256())
  }

  get #isAdmin(): boolean {
    return this.#deps.own() !== undefined
  }

  get #unheardMs(): number {
    return this.#deps.clock.monotonicMs() - this.#heardAtMs
  }
}
