import type { BrokerDeps, Credentials, ProvenWorkload } from '../deps.ts'
import { SUPERSEDED_PAUSE_MS } from '../timing.ts'
import type { Dialled } from '../tls/open-session.ts'
import { checkProof, exchangeProofs, makeProof } from './proof.ts'

/** The share of the time left after which the other end must have a renewed certificate, if all is well with it. */
const PROOF_SHARE = 0.6

export interface ProvenEndsOptions {
  readonly dialled: Dialled
  /** Our certificate that the session was opened with. */
  readonly certPem: string
  /** What the destination's certificate proved. */
  readonly proven: ProvenWorkload
  /** By the wall clock: certificates have dates. */
  readonly wallMs: () => number
}

/** The certificates that the two ends of a session have proved in it, at the end that opened it. */
export class ProvenEnds {
  readonly #options: ProvenEndsOptions
  #leafDer: Uint8Array
  #notAfterMs: number
  #ourPem: string
  #provedAtMs: number
  #isProving = false

  constructor(options: ProvenEndsOptions) {
    this.#options = options
    this.#leafDer = options.dialled.leafDer
    this.#notAfterMs = options.proven.notAfterMs
    this.#ourPem = options.certPem
    this.#provedAtMs = options.wallMs()
  }

  /** When the destination's certificate ends, of those it has proved the one it proved last. */
  get notAfterMs(): number {
    return this.#notAfterMs
  }

  get leafDer(): Uint8Array {
    return this.#leafDer
  }

  /** Whether either end has another certificate by now, or should have: ours is `certPem`, theirs is of a CA that was superseded. */
  areLate(certPem: string, isSuperseded: boolean): boolean {
    if (this.#isProving) return false
    const theirs = this.#provedAtMs + (this.#notAfterMs - this.#provedAtMs) * PROOF_SHARE
    const now = this.#options.wallMs()
    const isLate = now >= theirs || (isSuperseded && now >= this.#provedAtMs + SUPERSEDED_PAUSE_MS)
    return certPem !== this.#ourPem || isLate
  }

  /** Exchanges proofs of what both ends have now. Rejects, and nothing has changed, when either is not proved. */
  async prove(credentials: Credentials, judge: BrokerDeps['judge'], signal: AbortSignal): Promise<void> {
    const { dialled, proven, wallMs } = this.#options
    this.#isProving = true
    try {
      const proof = makeProof(dialled.socket, 'client', credentials)
      const answer = await exchangeProofs(dialled.session, proof, signal)
      const { identity, leafDer } = checkProof(answer, dialled.socket, 'server', proven.spiffeId, judge)
      this.#leafDer = leafDer
      this.#notAfterMs = identity.notAfterMs
      this.#ourPem = credentials.certPem
      this.#provedAtMs = wallMs()
    } finally {
      this.#isProving = false
    }
  }
}
