import type { Trust } from '../../cluster/index.ts'
import { ChangeSignal, type Clock, detach, type Logger, loop } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { Lifetimes } from '../lifetimes.ts'
import type { Credentials, JwtKeys } from '../membership/index.ts'
import { renewAt, type Svid, type Svids } from '../svids.ts'
import { Alarms, type InUse, type WatchedCertificate } from './alarms.ts'
import type { Renewal } from './renewal.ts'

export interface RotationDeps {
  readonly renewal: Renewal
  readonly credentials: Credentials
  readonly jwtKeys: JwtKeys
  readonly lifetimes: Lifetimes
  /** The SVIDs of the proxy, then those that leave this process. */
  readonly svids: readonly Svids[]
  readonly trust: Trust
  readonly connected: () => readonly PeerKey[]
  readonly disconnect: (peer: PeerKey) => Promise<void>
  /** Remakes what depends on the certificate of this host: called after each renewal. */
  readonly onRenewed: () => Promise<void>
  /** Publishes the profile of this host again. */
  readonly announce: () => void
  /** Looks for a newer trust bundle if this host may be behind. */
  readonly catchUp: (signal: AbortSignal) => Promise<void>
  readonly clock: Clock
  readonly log: Logger
}

const MIN_ROUND_MS = 200
const MAX_ROUND_MS = 10_000
/** Renewals in progress for this long no longer delay anything else. */
const SLOW_LOOK_MS = 2_000

/** Renews everything of this host that expires, and raises alarms when it cannot. */
export class Rotation {
  readonly #deps: RotationDeps
  readonly #alarms: Alarms
  readonly #changed = new ChangeSignal()
  readonly #closing = new Set<PeerKey>()
  #isRenewed = false
  #onRound: () => void = () => {}
  #round: Promise<void> = Promise.resolve()
  /** The start of the round in progress. */
  #lookSinceMs = Number.POSITIVE_INFINITY

  constructor(deps: RotationDeps) {
    this.#deps = deps
    this.#alarms = new Alarms(deps.clock, deps.log)
    deps.credentials.onChange(() => {
      this.#isRenewed = true
    })
  }

  /** Resolves at the next change of certificates or keys. */
  changed(): Promise<void> {
    return this.#changed.changed()
  }

  /** The trust has changed: wakes the callers that wait for changes, and renews what is now due. */
  trustChanged(signal: AbortSignal): void {
    this.#changed.fire()
    detach(this.#deps.log, 'rotation', this.round(signal), signal)
  }

  /** The certificates in use, with their dates and alarms. */
  certificates(): readonly WatchedCertificate[] {
    return this.#alarms.current
  }

  /**
   * Runs until `signal` aborts. `onRound` is called after all SVIDs that were due were renewed: sessions that were proved with
   * old ones can be proved again.
   */
  start(signal: AbortSignal, onRound: () => void): void {
    this.#onRound = onRound
    const { lifetimes, log } = this.#deps
    const shortest = Math.min(lifetimes.svidMs, lifetimes.nodeMs, lifetimes.authorityMs, lifetimes.jwtKeyMs)
    const interval = Math.min(MAX_ROUND_MS, Math.max(MIN_ROUND_MS, shortest / 100))
    const run = (name: string, round: () => Promise<void> | void): void =>
      detach(log, name, loop(log, name, { intervalMs: () => interval, immediate: true, signal }, round), signal)
    run('rotation', () => this.round(signal))
    // Alarms exist for an authority that is slow to answer, or never does: so they do not wait for it.
    run('certificate alarms', () => {
      const isSlow = this.#deps.clock.monotonicMs() - this.#lookSinceMs >= SLOW_LOOK_MS
      if (isSlow) this.#alarms.check(this.#inUse())
    })
  }

  /** One round over everything; starts after the one in progress. */
  async round(signal: AbortSignal): Promise<void> {
    const before = this.#round
    const own = before.catch(() => {}).then(() => this.#look(signal))
    this.#round = own
    await own
  }

  async #look(signal: AbortSignal): Promise<void> {
    this.#lookSinceMs = this.#deps.clock.monotonicMs()
    try {
      await this.#renewAll(signal)
    } finally {
      this.#lookSinceMs = Number.POSITIVE_INFINITY
    }
    this.#closeExpired()
    this.#alarms.check(this.#inUse())
  }

  async #renewAll(signal: AbortSignal): Promise<void> {
    const { renewal, jwtKeys, svids, announce, onRenewed, catchUp, clock } = this.#deps
    await catchUp(signal)
    await renewal.round(signal)
    const keysChanged = jwtKeys.rotate(clock.wallMs())
    const renewed = this.#isRenewed
    if (renewed) {
      this.#isRenewed = false
      for (const each of svids) each.markStale()
      await onRenewed()
    }
    let isNew = renewed || keysChanged
    for (const each of svids) isNew = (await each.renewDue()) || isNew
    if (keysChanged) announce()
    if (isNew) this.#changed.fire()
    this.#onRound()
  }

  // A host was admitted with a certificate that has expired since: it must show a new one, and cannot.
  #closeExpired(): void {
    const { trust, connected, disconnect, log } = this.#deps
    for (const peer of connected()) {
      const sinceMs = trust.expiredSinceMs(peer)
      if (sinceMs === undefined || this.#closing.has(peer)) continue
      const notAfter = new Date(sinceMs).toISOString()
      log.warn('connections to a host are closed: its certificate has ended', { peer, notAfter })
      this.#closing.add(peer)
      const closed = disconnect(peer).finally(() => this.#closing.delete(peer))
      detach(log, 'connection of an expired host', closed)
    }
  }

  #inUse(): InUse[] {
    const { renewal, svids } = this.#deps
    // A workload has one for its sessions and perhaps one that it was given: report the one that expires first.
    const first = new Map<string, InUse>()
    for (const { spiffeId, svid, problem } of svids.flatMap(each => each.inUse())) {
      const known = first.get(spiffeId)
      if (known === undefined || svid.notAfterMs < known.notAfterMs) first.set(spiffeId, inUse(spiffeId, svid, problem))
    }
    return [...renewal.inUse(), ...first.values()]
  }
}

function inUse(subject: string, svid: Svid, problem: string): InUse {
  const { notBeforeMs: issuedAtMs, notAfterMs } = svid
  return { kind: 'svid', subject, issuedAtMs, notAfterMs, renewAtMs: renewAt(svid), problem, hint: '' }
}
