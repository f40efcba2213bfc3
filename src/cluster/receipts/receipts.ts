import {
  anyChange,
  ChangeSignal,
  type Clock,
  ErrorCode,
  type Logger,
  raceAbort,
  WarrenError,
  within
} from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { OwnerView } from '../../registry/index.ts'
import type { LostHost, LostReason } from '../lost-hosts.ts'
import { type Answerer, QUESTIONS_CAPABILITY, type Questions } from '../questions/index.ts'
import type { AppliedPolicies } from './applied-policies.ts'
import {
  decodeReceipt,
  decodeReceiptQuestion,
  encodeReceipt,
  encodeReceiptQuestion,
  type PolicyVersion,
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
  /** The policy in force here. */
  readonly bundle: () => PolicyVersion | undefined
  /** Asks a neighbour for a newer policy, in the background. */
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

/** Time before a host that has not answered is asked again, in milliseconds: after the first three times. */
const ASK_AGAIN_MS = [1_000, 1_500, 2_500]
const LAST_ASK_AGAIN_MS = 4_000
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
  readonly answer: Answerer = async (content, via, signal) => {
    const { applied, trustDomain, bundle, pull } = this.#deps
    const asked = decodeReceiptQuestion(content)
    // The question may come before the policy, or the policy may have been lost on the way.
    if ((bundle()?.version ?? 0n) < asked.version) pull(via)
    for (;;) {
      const receipt = applied.receiptFor(asked)
      if (receipt !== undefined) return encodeReceipt(trustDomain, receipt)
      await raceAbort(applied.changed(), signal)
    }
  }

  /**
   * Asks every host for its receipt, and yields each as it comes. Ends when each live host has given one, or when the time is over;
   * the last value has the hosts without one. `version`: zero for the one in force.
   *
   * Throws NOT_ADMIN, NOT_FOUND, INVALID_ARGUMENT, LIMIT_EXCEEDED.
   */
  async *collect(version: bigint, timeoutMs: number, signal: AbortSignal): AsyncGenerator<Collected> {
    const { questions, trustDomain, clock, log } = this.#deps
    const asked = this.#asked(version)
    const received = new Map<PeerKey, Receipt>()
    const inquiry = questions().open('receipt', encodeReceiptQuestion(asked), (peer, content) => {
      try {
        received.set(peer, decodeReceipt(content, trustDomain, asked))
        this.#news.fire()
      } catch (err) {
        log.warn('a receipt is not usable', { peer, err })
      }
    })
    const [shown, endMs] = [new Set<string>(), clock.monotonicMs() + timeoutMs]
    try {
      for (let askAtMs = clock.monotonicMs(), asks = 0; ; ) {
        // Before the look: what changes while a value is taken must not be missed.
        const change = this.#changed()
        const now = clock.monotonicMs()
        const all = this.#standing(asked, received)
        const fresh = all.filter(({ machine, state }) => hasSpoken(state) && !shown.has(machine))
        for (const { machine } of fresh) shown.add(machine)
        if (all.every(isSettled) || now >= endMs) {
          const hosts = [...fresh, ...all.filter(({ machine }) => !shown.has(machine)), ...this.#lost(all)]
          yield { hosts, finished: true, complete: all.every(({ state }) => isDone(state)), version: asked.version }
          return
        }
        if (fresh.length > 0) yield { hosts: fresh, finished: false, complete: false, version: asked.version }
        if (now >= askAtMs) {
          inquiry.ask()
          askAtMs = now + (ASK_AGAIN_MS[asks] ?? LAST_ASK_AGAIN_MS)
          asks += 1
        }
        const waitMs = Math.max(1, Math.min(askAtMs, endMs) - clock.monotonicMs())
        await within(waitMs, [signal], limit => raceAbort(change, limit)).catch(() => {})
        signal.throwIfAborted()
      }
    } finally {
      inquiry.close()
    }
  }

  #asked(version: bigint): PolicyVersion {
    const current = this.#deps.bundle()
    if (current === undefined) throw new WarrenError(ErrorCode.NotFound, 'there is no policy yet', { hint: FIRST_RULE })
    if (version > current.version) {
      throw new WarrenError(
        ErrorCode.InvalidArgument,
        `the policy has version ${current.version} here, not ${version} yet`
      )
    }
    if (version === 0n || version === current.version) return current
    return { version, sha256: '' }
  }

  /** What is known of each member, this host first. */
  #standing(asked: PolicyVersion, received: ReadonlyMap<PeerKey, Receipt>): HostReceipt[] {
    const { applied, owners } = this.#deps
    return [...owners()]
      .sort((one, other) => Number(other.self) - Number(one.self) || (one.machine < other.machine ? -1 : 1))
      .map(member => {
        const { machine, peer, self } = member
        const receipt = self ? applied.receiptFor(asked) : received.get(peer)
        return receipt === undefined ? this.#without(member, asked) : { machine, ...receipt }
      })
  }

  #without({ machine, peer, suspect, capabilities, policyVersion }: OwnerView, asked: PolicyVersion): HostReceipt {
    const sinceMs = this.#deps.suspectedSinceMs(peer)
    const of = { machine, version: policyVersion }
    const isOlder = !capabilities.includes(QUESTIONS_CAPABILITY)
    // Its announcement is the last step of its enforcement.
    if (isOlder && policyVersion >= asked.version) return { ...of, state: 'announced' }
    if (suspect || sinceMs !== undefined) return { ...of, state: 'suspect', ...(sinceMs !== undefined && { sinceMs }) }
    return { ...of, state: isOlder ? 'cannot-say' : 'silent' }
  }

  #lost(members: readonly HostReceipt[]): HostReceipt[] {
    const names = new Set(members.map(({ machine }) => machine))
    return this.#deps
      .lost()
      .flatMap(({ last: { machine, policyVersion }, reason, sinceMs }) =>
        names.has(machine) ? [] : [{ machine, state: LOST[reason], version: policyVersion, sinceMs }]
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

function isDone(state: HostReceipt['state']): boolean {
  return state === 'applied'
}
