import type { PeerKey } from '../../identity/index.ts'
import { LocalHealth } from './local-health.ts'
import { ProbeOrder } from './probe-order.ts'

export type Relayed = 'reached' | 'missed' | 'no answer'

export interface FailureDetectorDeps {
  /** Members with a live lease, without this host. */
  readonly members: () => readonly PeerKey[]
  readonly isMember: (peer: PeerKey) => boolean
  /** Members that can be asked without dialling. */
  readonly connected: () => readonly PeerKey[]
  /** Whether `peer` answers within the time. Never rejects. */
  readonly ping: (peer: PeerKey, timeoutMs: number) => Promise<boolean>
  /** Asks `helper` to ping `peer`. Never rejects. */
  readonly pingVia: (helper: PeerKey, peer: PeerKey, timeoutMs: number) => Promise<Relayed>
  /** Notifies `to` of a suspicion. Never throws. */
  readonly notify: (to: PeerKey, about: PeerKey) => void
  /** The suspicion of a member began or ended. */
  readonly onSuspicion: (peer: PeerKey, suspected: boolean, reason: string) => void
  /** The suspicion of a member is confirmed, and it still does not answer: a connection to it is of no further use. */
  readonly onSilence: (peer: PeerKey) => void
  readonly monotonicMs: () => number
  /** In [0, 1). */
  readonly random: () => number
}

/** For a connected member, in milliseconds; a member that must be dialled first gets three times as long. */
const PING_TIMEOUT_MS = 500
const DIAL_FACTOR = 3
/** As in SWIM: https://www.cs.cornell.edu/projects/Quicksilver/public_pdfs/SWIM.pdf, section 3.1. */
const HELPERS = 3
/** Members that are notified of a new suspicion; each that confirms it notifies as many. */
const NOTIFIED = 8
/** Checks at once. Further checks wait; but those by suspicion gossip are dropped. */
const MAX_CHECKS = 64
/** A member that answered within this time is not checked because of suspicion gossip. In milliseconds. */
const FRESH_MS = 1_000
/** Repetitions of a ping whose result proved nothing about the other side. */
const MAX_VOID = 3
/** A suspicion of this age that a new check supports is confirmed. In milliseconds. */
const CONFIRM_MS = 5_000
/**
 * The same while other suspects return: TCP retransmits only after another pause as long as the outage, so a connection that
 * is silent on a restored link would stay silent for that long. In milliseconds.
 */
const STALLED_MS = 1_500
/** How long `STALLED_MS` applies after the return of one suspect. In milliseconds. */
const RETURNING_MS = 3_000
/** Suspects checked in one round. */
const SUSPECTS_PER_ROUND = 8

/**
 * Finds out which members do not answer.
 *
 * A suspicion is this host's own: it follows from pings that it sent itself, or that others sent after its own failed.
 * Suspicion gossip only starts a check. So one hostile member can hide no other, and at worst it can make others send a
 * ping. A suspicion ends with the next answered ping.
 */
export class FailureDetector {
  readonly #deps: FailureDetectorDeps
  readonly #health = new LocalHealth()
  readonly #members: ProbeOrder
  readonly #suspected: ProbeOrder
  readonly #suspects = new Map<PeerKey, number>()
  readonly #running = new Map<PeerKey, Promise<void>>()
  readonly #answeredMs = new Map<PeerKey, number>()
  /** Holds members only, so their number limits its size. */
  readonly #waiting = new Set<PeerKey>()
  /** Suspects that are pinged while a check of them runs. */
  readonly #quickProbes = new Set<PeerKey>()
  #returnedMs = Number.NEGATIVE_INFINITY
  #lookedAtAllMs = Number.NEGATIVE_INFINITY

  constructor(deps: FailureDetectorDeps) {
    this.#deps = deps
    this.#members = new ProbeOrder(deps.members, deps.random)
    this.#suspected = new ProbeOrder(() => [...this.#suspects.keys()], deps.random)
  }

  /** Monotonic time since which `peer` is suspected. */
  suspectedSinceMs(peer: PeerKey): number | undefined {
    return this.#suspects.get(peer)
  }

  /** One round: checks one member, and up to eight suspects. Call it each second. */
  async round(): Promise<void> {
    for (const peer of [...this.#suspects.keys(), ...this.#answeredMs.keys()]) {
      if (!this.#deps.isMember(peer)) this.#forget(peer)
    }
    const looked = new Set([this.#members.next()])
    for (let at = Math.min(SUSPECTS_PER_ROUND, this.#suspects.size); at > 0; at -= 1) looked.add(this.#suspected.next())
    await Promise.all([...looked].map(peer => (peer === undefined ? undefined : this.check(peer))))
  }

  /** Checks one member. Resolves when it is known whether it answers; at once if the check must wait for others. */
  check(peer: PeerKey): Promise<void> {
    const running = this.#running.get(peer)
    if (running !== undefined) return running
    if (!this.#deps.isMember(peer)) return Promise.resolve()
    if (this.#running.size >= MAX_CHECKS) {
      this.#waiting.add(peer)
      return Promise.resolve()
    }
    const check = this.#check(peer).finally(() => {
      this.#running.delete(peer)
      this.#checkNext()
    })
    this.#waiting.delete(peer)
    this.#running.set(peer, check)
    return check
  }

  #checkNext(): void {
    for (const next of this.#waiting) {
      this.#waiting.delete(next)
      if (!this.#deps.isMember(next)) continue
      void this.check(next)
      return
    }
  }

  /** Data arrived from the member: if it is suspected, it is checked again. */
  heard(peer: PeerKey): void {
    if (this.#suspects.has(peer)) this.#lookAgain(peer)
  }

  /** Another member believes that `peer` is gone. */
  suspected(peer: PeerKey): void {
    const answeredMs = this.#answeredMs.get(peer)
    const isFresh = answeredMs !== undefined && this.#deps.monotonicMs() - answeredMs < FRESH_MS
    const hasRoom = this.#running.size < MAX_CHECKS
    if (hasRoom && !isFresh && !this.#suspects.has(peer)) void this.check(peer)
  }

  async #check(peer: PeerKey): Promise<void> {
    if (await this.#ping(peer)) {
      this.#health.better()
      this.#answered(peer, 'it answers')
      return
    }
    this.#giveUpStalled(peer)
    const { helper, heard } = await this.#askOthers(peer)
    if (helper) {
      this.#answered(peer, 'it answers others')
      return
    }
    const sinceMs = this.#suspects.get(peer)
    // No member answers at all: then the fault may be here. Members that are skipped already prove nothing new.
    if (!heard && sinceMs === undefined) this.#health.worse()
    if (!this.#deps.isMember(peer)) return
    if (sinceMs !== undefined) {
      // Not at the first miss: a link that was down for a moment would end everything on the connection.
      if (this.#deps.monotonicMs() - sinceMs >= CONFIRM_MS) this.#deps.onSilence(peer)
      return
    }
    this.#suspects.set(peer, this.#deps.monotonicMs())
    this.#deps.onSuspicion(peer, true, heard ? 'it answers neither us nor others' : 'it does not answer')
    for (const to of this.#sample(NOTIFIED, peer)) this.#deps.notify(to, peer)
  }

  // A ping during which this process stood still proves nothing about the other side: after a stop or a long pause, every
  // deadline has passed. Nor does a ping whose connection closed meanwhile: the other side may have closed the connection.
  async #ping(peer: PeerKey): Promise<boolean> {
    const { ping, monotonicMs, connected } = this.#deps
    for (let attempt = 0; ; attempt += 1) {
      const wasConnected = connected().includes(peer)
      const timeoutMs = PING_TIMEOUT_MS * (wasConnected ? 1 : DIAL_FACTOR) * this.#health.factor
      const startedMs = monotonicMs()
      if (await ping(peer, timeoutMs)) return true
      const stoodStill = monotonicMs() - startedMs > timeoutMs * 1.5
      if (stoodStill) this.#health.worse()
      const lostConnection = wasConnected && !connected().includes(peer)
      if (!(stoodStill || lostConnection) || attempt >= MAX_VOID) return false
    }
  }

  #giveUpStalled(peer: PeerKey): void {
    const now = this.#deps.monotonicMs()
    const sinceMs = this.#suspects.get(peer)
    const isReturning = now - this.#returnedMs < RETURNING_MS
    if (isReturning && sinceMs !== undefined && now - sinceMs >= STALLED_MS) this.#deps.onSilence(peer)
  }

  async #askOthers(peer: PeerKey): Promise<{ readonly helper: boolean; readonly heard: boolean }> {
    const timeoutMs = PING_TIMEOUT_MS * DIAL_FACTOR * this.#health.factor
    const asked = this.#sample(HELPERS, peer).map(helper => this.#deps.pingVia(helper, peer, timeoutMs))
    const answers = await Promise.all(asked)
    return { helper: answers.includes('reached'), heard: answers.some(answer => answer !== 'no answer') }
  }

  #sample(count: number, without: PeerKey): PeerKey[] {
    const others = this.#deps.connected().filter(peer => peer !== without && !this.#suspects.has(peer))
    const chosen: PeerKey[] = []
    while (chosen.length < count && others.length > 0) {
      chosen.push(...others.splice(Math.floor(this.#deps.random() * others.length), 1))
    }
    return chosen
  }

  #answered(peer: PeerKey, reason: string): void {
    if (!this.#deps.isMember(peer)) return
    const now = this.#deps.monotonicMs()
    this.#answeredMs.set(peer, now)
    if (!this.#suspects.delete(peer)) return
    this.#returnedMs = now
    this.#deps.onSuspicion(peer, false, reason)
    this.#lookAtSuspects()
  }

  // The cause may have hidden other suspects too, and has ended: a link returned. One at a time, each would wait for the others.
  #lookAtSuspects(): void {
    const now = this.#deps.monotonicMs()
    if (now - this.#lookedAtAllMs < PING_TIMEOUT_MS) return
    this.#lookedAtAllMs = now
    for (const peer of this.#suspects.keys()) this.#lookAgain(peer)
  }

  // A check that began while the link was down may still wait for answers that cannot come.
  #lookAgain(peer: PeerKey): void {
    if (!this.#running.has(peer)) void this.check(peer)
    else if (!this.#quickProbes.has(peer)) void this.#quickProbe(peer)
  }

  async #quickProbe(peer: PeerKey): Promise<void> {
    this.#quickProbes.add(peer)
    try {
      if (await this.#deps.ping(peer, PING_TIMEOUT_MS * this.#health.factor)) this.#answered(peer, 'it answers')
      else this.#giveUpStalled(peer)
    } finally {
      this.#quickProbes.delete(peer)
    }
  }

  // A host that is no longer a member needs no verdict; if it returns, it begins without a suspicion.
  #forget(peer: PeerKey): void {
    this.#suspects.delete(peer)
    this.#answeredMs.delete(peer)
    this.#waiting.delete(peer)
  }
}
