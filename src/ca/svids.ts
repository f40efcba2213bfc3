import type { KeyObject } from 'node:crypto'
import { type Clock, ErrorCode, WarrenError } from '../core/index.ts'
import { IssueQueue } from './issue-queue.ts'

/** A workload's certificate with its key, ready for TLS. */
export interface Svid {
  /** DER: leaf, node CA, authority. */
  readonly chainDer: readonly Uint8Array[]
  /** The same as PEM. */
  readonly certPem: string
  readonly key: KeyObject
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** Issues a certificate with a new key. */
type Issue = (spiffeId: string, dnsNames: readonly string[]) => Promise<Svid>

interface Slot {
  readonly spiffeId: string
  dnsNames: readonly string[]
  /** The signer of the current one has been replaced. */
  isStale: boolean
  /** The registration has ended. */
  isGone: boolean
  /** The reason why the last renewal failed. */
  problem: string
  current: Svid | undefined
  pending: Promise<Svid> | undefined
}

/**
 * The SVIDs of the registrations of this host.
 *
 * Issued when first needed and again shortly before half of their life, so that a returned SVID is always valid for about
 * that long; a failed renewal leaves the old one in use until it expires. They are made one at a time.
 */
export class Svids {
  readonly #slots = new Map<string, Slot>()
  readonly #issue: Issue
  readonly #clock: Clock
  readonly #queue: IssueQueue

  /** `restShare`: the rest for each that is made, as a multiple of the time that the event loop worked meanwhile. */
  constructor(issue: Issue, clock: Clock, restShare = 0) {
    this.#issue = issue
    this.#clock = clock
    this.#queue = new IssueQueue(restShare)
  }

  add(registrationId: string, spiffeId: string): void {
    this.#slots.set(registrationId, {
      spiffeId,
      dnsNames: [],
      isStale: false,
      isGone: false,
      problem: '',
      current: undefined,
      pending: undefined
    })
  }

  remove(registrationId: string): void {
    const slot = this.#slots.get(registrationId)
    if (slot !== undefined) slot.isGone = true
    this.#slots.delete(registrationId)
  }

  /**
   * The SVID of a registration, with the DNS names that it has. Rejects with INVALID_SOURCE when there is no such registration.
   */
  async get(registrationId: string, dnsNames: readonly string[] = []): Promise<Svid> {
    const slot = this.#slots.get(registrationId)
    if (slot === undefined) throw notRegistered()
    slot.dnsNames = dnsNames
    const now = this.#clock.wallMs()
    const { current } = slot
    if (current !== undefined && !slot.isStale && !isDue(current, now)) return current
    slot.pending ??= this.#renew(slot)
    try {
      await slot.pending
    } catch (err) {
      if (current === undefined || now >= current.notAfterMs) throw err
    }
    // An SVID whose signer was replaced while it was made is stale, but valid.
    return slot.current ?? (await this.get(registrationId, dnsNames))
  }

  /** Makes the next `get` of each issue a new one, since their signer was replaced; the old ones stay valid until they expire. */
  markStale(): void {
    for (const slot of this.#slots.values()) slot.isStale = true
  }

  /** Renews the SVIDs that were returned and are due, so that sessions can be proved again; returns whether there were any. */
  async renewDue(): Promise<boolean> {
    const now = this.#clock.wallMs()
    const due = [...this.#slots.entries()].filter(
      ([, { current, isStale }]) => current !== undefined && (isStale || isDue(current, now))
    )
    let renewed = false
    for (const [registrationId, slot] of due) {
      const before = slot.current
      await this.get(registrationId, slot.dnsNames).catch(() => {})
      renewed ||= slot.current !== before
    }
    return renewed
  }

  /** The SVIDs that were returned. */
  inUse(): Array<{ readonly spiffeId: string; readonly svid: Svid; readonly problem: string }> {
    return [...this.#slots.values()].flatMap(({ spiffeId, current, problem }) =>
      current === undefined ? [] : [{ spiffeId, svid: current, problem }]
    )
  }

  async #renew(slot: Slot): Promise<Svid> {
    try {
      slot.current = await this.#queue.run(async () => {
        if (slot.isGone) throw notRegistered()
        // Those that wait are made with the signer of the time when their turn comes.
        slot.isStale = false
        return await this.#issue(slot.spiffeId, slot.dnsNames)
      })
      slot.problem = ''
      return slot.current
    } catch (err) {
      slot.problem = WarrenError.from(err).reason
      throw err
    } finally {
      slot.pending = undefined
    }
  }
}

function notRegistered(): WarrenError {
  return new WarrenError(ErrorCode.InvalidSource, 'the workload is not registered here')
}

// A little before half of its life, so that less than half left shows that renewals fail.
const RENEW_SHARE = 0.45

/** When an SVID is due to be renewed, wall milliseconds. */
export function renewAt({ notBeforeMs, notAfterMs }: Pick<Svid, 'notBeforeMs' | 'notAfterMs'>): number {
  return notBeforeMs + (notAfterMs - notBeforeMs) * RENEW_SHARE
}

// One of a later time was made while the clock was ahead: nobody else accepts it.
function isDue(svid: Svid, nowMs: number): boolean {
  return nowMs >= renewAt(svid) || nowMs < svid.notBeforeMs
}
