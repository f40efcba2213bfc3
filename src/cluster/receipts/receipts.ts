import {
  anyChange,
  ChangeSignal,
  type Clock,
  ErrorCode,
  type Logger,
  raceAbort,
  WarrenError
} from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { AdminKey } from '../../policy/index.ts'
import type { OwnerView } from '../../registry/index.ts'
import type { LostHost, LostReason } from '../lost-hosts.ts'
import { type Answerer, collect, QUESTIONS_CAPABILITY, type Questions } from '../questions/index.ts'
import type { AppliedPolicies } from './applied-policies.ts'
import {
  type AskedSet,
  decodeReceipt,
  decodeReceiptQuestion,
  encodeReceipt,
  encodeReceiptQuestion,
  type Receipt
} from './receipt.ts'

/** What is known of one host. */
export interface HostReceipt extends Partial<Omit<Receipt, 'state'>> {
  readonly machine: string
  readonly state: Receipt['state'] | 'announced' | 'cannot-say' | 'silent' | 'suspect' | 'left' | 'lost' | 'evicted'
  /** Since when it is away, by the clock of this host; undefined if it is not. */
  readonly sinceMs?: number
}

export interface Collected {
  readonly hosts: readonly HostReceipt[]
  /** Nothing follows. */
  readonly finished: boolean
  /** Every member has applied the version. */
  readonly complete: boolean
  readonly version: bigint
}

export interface ReceiptsDeps {
  readonly trustDomain: string
  readonly applied: AppliedPolicies
  readonly rootKey: AdminKey
  /** What the admin of this host has stated; undefined for nothing. Throws NOT_ADMIN. */
  readonly own: () => AskedSet | undefined
  /** Stands for the sets of all admins that count here. */
  readonly digest: () => string
  /** Asks a neighbour for newer policies of all admins, in the background. */
  readonly pull: (peer: PeerKey) => void
  readonly questions: () => Pick<Questions, 'open'>
  readonly owners: () => readonly OwnerView[]
  readonly lost: () => readonly LostHost[]
  readonly suspectedSinceMs: (peer: PeerKey) => number | undefined
  /** Resolves at the next change of any host. */
  readonly registryChanged: () => Promise<void>
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly log: Logger
}

const FIRST_RULE = 'The first rule makes one: warren allow SOURCE DESTINATION.'

const LOST: Readonly<Record<LostReason, HostReceipt['state']>> = { left: 'left', silent: 'lost', evicted: 'evicted' }

/** Gives the receipts of this host, and collects those of all. */
export class Receipts {
  readonly #deps: ReceiptsDeps
  readonly #news = new ChangeSignal()
  readonly #changed: () => Promise<void>

  constructor(deps: ReceiptsDeps) {
    this.#deps = deps
    const { registryChanged, applied } = deps
    this.#changed = anyChange(
      () => this.#news.changed(),
      registryChanged,
      () => applied.changed()
    )
  }

  /** What this host has applied. */
  get applied(): AppliedPolicies {
    return this.#deps.applied
  }

  /** Answers a question of another host, once the version is applied here. */
  readonly answer: Answerer = async (content, { via, signal }) => {
    const { applied, trustDomain, rootKey, pull } = this.#deps
    const asked = decodeReceiptQuestion(content, rootKey)
    // The question may come before the policy, or the policy may have been lost on the way.
    if (applied.lacks(asked)) pull(via)
    for (;;) {
      const receipt = applied.receiptFor(asked)
      if (receipt !== undefined) return encodeReceipt(trustDomain, receipt)
      await raceAbort(applied.changed(), signal)
    }
  }

  /**
   * Asks every host for its receipt, and yields each as it comes. Ends when each live host has given one, or when the time is over;
   * the last value has the hosts without one. `version`: zero for the one
   * in force, of the set of the admin of this host.
   *
   * Throws NOT_ADMIN, NOT_FOUND, INVALID_ARGUMENT, LIMIT_EXCEEDED.
   */
  async *collect(version: bigint, timeoutMs: number, signal: AbortSignal): AsyncGenerator<Collected> {
    const { questions, trustDomain, rootKey, clock, log } = this.#deps
    const asked = this.#asked(version)
    const received = new Map<PeerKey, Receipt>()
    const inquiry = questions().open('receipt', encodeReceiptQuestion(asked, rootKey), (peer, content) => {
      try {
        received.set(peer, decodeReceipt(content, trustDomain, asked))
        this.#news.fire()
      } catch (err) {
        log.warn('a receipt is not usable', { peer, err })
      }
    })
    const shown = new Set<string>()
    yield* collect<Collected>({
      inquiry,
      look: ({ isOver, isGraceOver }) => {
        const all = this.#standing(asked, received)
        const isLast = isOver || all.every(host => isSettled(host) && (isGraceOver || host.state !== 'suspect'))
        const fresh = all.filter(({ machine, state }) => !shown.has(machine) && (isLast || hasSpoken(state)))
        for (const { machine } of fresh) shown.add(machine)
        if (fresh.length === 0 && !isLast) return { news: undefined, isLast }
        const hosts = isLast ? [...fresh, ...this.#lost(asked, all)] : fresh
        const complete = isLast && all.every(({ state }) => state === 'applied')
        return { news: { hosts, finished: isLast, complete, version: asked.version }, isLast }
      },
      changed: this.#changed,
      timeoutMs,
      clock,
      signal
    })
  }

  #asked(version: bigint): AskedSet {
    const current = this.#deps.own()
    if (current === undefined) {
      const text = 'the admin of this host has stated nothing yet'
      throw new WarrenError(ErrorCode.NotFound, text, { hint: FIRST_RULE })
    }
    if (version > current.version) {
      throw new WarrenError(
        ErrorCode.InvalidArgument,
        `the policy has version ${current.version} here, not ${version} yet`
      )
    }
    if (version === 0n || version === current.version) return current
    return { ...current, version, sha256: '' }
  }

  /** What is known of each member, this host first. */
  #standing(asked: AskedSet, received: ReadonlyMap<PeerKey, Receipt>): HostReceipt[] {
    const { applied, owners } = this.#deps
    return [...owners()]
      .sort((one, other) => Number(other.self) - Number(one.self) || (one.machine < other.machine ? -1 : 1))
      .map(member => {
        const { machine, peer, self } = member
        const receipt = self ? applied.receiptFor(asked) : received.get(peer)
        return receipt === undefined ? this.#without(member, asked) : { machine, ...receipt }
      })
  }

  #without({ machine, peer, suspect, capabilities, ...head }: OwnerView, asked: AskedSet): HostReceipt {
    const { rootKey, suspectedSinceMs, digest } = this.#deps
    const sinceMs = suspectedSinceMs(peer)
    const isOfRoot = asked.key === rootKey
    // What a host announces is the version of the root's set, and a digest of all others.
    const of = { machine, version: isOfRoot ? head.policyVersion : 0n }
    const isOlder = !capabilities.includes(QUESTIONS_CAPABILITY) || (!isOfRoot && head.policySets === '')
    const hasSets = [asked, ...asked.grantedBy].every(({ key, version }) =>
      key === rootKey ? head.policyVersion >= version : head.policySets === digest()
    )
    // Its announcement is the last step of its enforcement.
    if (isOlder && hasSets)
      return { machine, version: isOfRoot ? head.policyVersion : asked.version, state: 'announced' }
    if (suspect || sinceMs !== undefined) return { ...of, state: 'suspect', ...(sinceMs !== undefined && { sinceMs }) }
    return { ...of, state: isOlder ? 'cannot-say' : 'silent' }
  }

  #lost(asked: AskedSet, members: readonly HostReceipt[]): HostReceipt[] {
    const isOfRoot = asked.key === this.#deps.rootKey
    const names = new Set(members.map(({ machine }) => machine))
    return this.#deps
      .lost()
      .flatMap(({ last: { machine, policyVersion }, reason, sinceMs }) =>
        names.has(machine) ? [] : [{ machine, state: LOST[reason], version: isOfRoot ? policyVersion : 0n, sinceMs }]
      )
  }
}

/** By its receipt. */
function hasSpoken(state: HostReceipt['state']): boolean {
  return state === 'applied' || state === 'refused' || state === 'failed'
}

/** Whether to wait for it no longer. */
function isSettled({ state }: HostReceipt): boolean {
  return state !== 'silent' && state !== 'cannot-say'
}
