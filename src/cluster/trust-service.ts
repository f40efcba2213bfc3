import { type Clock, DIAL_STAGGER_MS, detach, type Logger, raceAbort, raceStaggered, within } from '../core/index.ts'
import { followSuccession, type PeerKey } from '../identity/index.ts'
import type { TrustFile } from '../state/index.ts'
import { create, decode, toBinary, trustPb } from '../wire/index.ts'
import type { Trust } from './trust.ts'

export interface TrustServiceDeps {
  readonly file: TrustFile
  readonly trust: Trust
  readonly connected: () => readonly PeerKey[]
  /** Asks one peer; rejects when it cannot be reached. */
  readonly request: (peer: PeerKey, bytes: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
  /** host:port of hosts that may know more, for a host that the mesh does not admit. */
  readonly ports: () => readonly string[]
  readonly askAtPort: (address: string, signal: AbortSignal) => Promise<readonly Uint8Array[]>
  /** Called after each change of the trust, with the hosts whose certificates are all invalid now. */
  readonly onAccepted: (reason: string, gone: readonly PeerKey[], version: bigint) => void
  readonly clock: Clock
  readonly log: Logger
  readonly signal: AbortSignal
}

const FETCH_TIMEOUT_MS = 5_000
/** A host that reaches no other looks for a newer bundle after this long, and then less and less often. */
const ALONE_MS = 3_000
const MAX_PAUSE_MS = 60_000

export const TRUST_LIMITS = Object.freeze({ maxRequestBytes: 64, maxResponseBytes: 64 * 1024 })

/** Accepts newer trust bundles from any host, one after another, and spreads them. */
export class TrustService {
  readonly #deps: TrustServiceDeps
  #adoptedAtMs = 0
  /** A host showed a chain below a root that is not known here. */
  #isSuspicious = false
  #aloneSinceMs: number | undefined
  #pauseMs = ALONE_MS
  #notBeforeMs = 0

  constructor(deps: TrustServiceDeps) {
    this.#deps = deps
  }

  get version(): bigint {
    return this.#deps.file.state.version
  }

  /** When the bundle in force was received, wall milliseconds; zero: before this agent started. */
  get adoptedAtMs(): number {
    return this.#adoptedAtMs
  }

  /**
   * Applies newer bundles, durably, and notifies the others; returns whether there were any. Throws like `followSuccession` of
   * identity, and then applies none; STATE_UNUSABLE.
   */
  take(succession: readonly Uint8Array[]): boolean {
    const { file, trust, clock, log, onAccepted } = this.#deps
    const steps = followSuccession(succession, file.state)
    const gone: PeerKey[] = []
    for (const step of steps) {
      file.follow(step)
      gone.push(...trust.replace(step.state))
      log.info('trust bundle changed', { trustVersion: String(step.state.version), count: step.state.roots.length })
    }
    if (steps.length === 0) return false
    this.#adoptedAtMs = clock.wallMs()
    onAccepted(`trust bundle version ${this.version}`, gone, this.version)
    this.#askAll()
    return true
  }

  /** Answers a peer that asks for newer bundles; asks it in return if it has a newer one. */
  answer(bytes: Uint8Array, from: PeerKey): Uint8Array {
    const { haveVersion } = decode(trustPb.TrustRequestSchema, bytes, TRUST_LIMITS.maxRequestBytes)
    if (haveVersion > this.version) this.pull(from)
    const bundles = this.#deps.file.since(haveVersion)
    return toBinary(trustPb.TrustAnswerSchema, create(trustPb.TrustAnswerSchema, { bundles }))
  }

  /** Asks `peer` for newer bundles, in the background. */
  pull(peer: PeerKey): void {
    const { log, signal } = this.#deps
    this.fetch(peer).catch((err: unknown) => {
      if (!signal.aborted) log.debug('trust bundle fetch failed', { peer, err })
    })
  }

  /** Asks `peer` for newer bundles and applies them. Rejects when the peer fails or sends a bundle that does not follow. */
  async fetch(peer: PeerKey): Promise<void> {
    const { request, signal } = this.#deps
    const ask = create(trustPb.TrustRequestSchema, { haveVersion: this.version })
    const bytes = await within(FETCH_TIMEOUT_MS, [signal], limit =>
      raceAbort(request(peer, toBinary(trustPb.TrustRequestSchema, ask), limit), limit)
    )
    this.take(decode(trustPb.TrustAnswerSchema, bytes, TRUST_LIMITS.maxResponseBytes).bundles)
  }

  /** A host shows a root that is not known here: it may be a stranger, or this host may be behind. */
  suspect(): void {
    this.#isSuspicious = true
  }

  /**
   * Looks for newer bundles if there is a reason: at connected hosts, else at the data ports of remembered hosts, since the mesh
   * does not admit a host that knows none of its roots. Call it often.
   */
  async catchUp(signal: AbortSignal): Promise<void> {
    const { connected, clock, ports } = this.#deps
    const now = clock.monotonicMs()
    const isAlone = connected().length === 0 && ports().length > 0
    this.#aloneSinceMs = isAlone ? (this.#aloneSinceMs ?? now) : undefined
    const isDue = this.#isSuspicious || (this.#aloneSinceMs !== undefined && now - this.#aloneSinceMs >= ALONE_MS)
    if (!isDue) {
      this.#pauseMs = ALONE_MS
      return
    }
    if (now < this.#notBeforeMs) return
    this.#isSuspicious = false
    this.#pauseMs = Math.min(MAX_PAUSE_MS, this.#pauseMs * 2)
    this.#notBeforeMs = now + this.#pauseMs * (0.8 + 0.4 * Math.random())
    await Promise.allSettled(connected().map(peer => this.fetch(peer)))
    const attempts = ports().map(address => async (limit: AbortSignal) => {
      if (!(await this.#askAtPort(address, limit))) throw new Error('nothing newer there')
    })
    await raceStaggered(attempts, DIAL_STAGGER_MS, signal, () => {}).catch(() => signal.throwIfAborted())
  }

  async #askAtPort(address: string, signal: AbortSignal): Promise<boolean> {
    const { askAtPort, log } = this.#deps
    try {
      return this.take(await askAtPort(address, signal))
    } catch (err) {
      signal.throwIfAborted()
      log.debug('trust bundle fetch failed', { address, err })
      return false
    }
  }

  // A host that is behind learns from the request that there is a newer bundle to ask for.
  #askAll(): void {
    const { connected, log, signal } = this.#deps
    const asked = Promise.allSettled(connected().map(peer => this.fetch(peer)))
    detach(log, 'spread of a trust bundle', asked, signal)
  }
}
