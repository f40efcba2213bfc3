import { X509Certificate } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { ProvenWorkload, ProxyDeps, TlsCredentials } from '../deps.ts'
import { REPLACED_PAUSE_MS, STAND_IN_MS } from '../timing.ts'
import type { Dialled } from '../tls/index.ts'
import { checkProof, exchangeProofs, makeProof } from './proof.ts'
import { ProofAttempts } from './proof-attempts.ts'

/**
 * The share of the time left after which the other end must have a renewed certificate, if nothing is wrong with it.
 */
const PROOF_SHARE = 0.6

export interface ProvenEndsOptions {
  readonly dialled: Dialled
  /** Our certificate that the session was opened with. */
  readonly certPem: string
  /** The identity that the destination's certificate proved. */
  readonly proven: ProvenWorkload
  /** Returns the wall clock: certificates have dates. */
  readonly wallMs: () => number
}

/** The certificates that the two ends of a session have proved in it, at the end that opened it. */
export class ProvenEnds {
  readonly attempts = new ProofAttempts()
  readonly #options: ProvenEndsOptions
  #leafDer: Uint8Array
  #notAfterMs: number
  #ourPem: string
  /** Time since which the other end's certificate is known, and time of the last request for another one. */
  #knownSinceMs: number
  #askedAtMs: number
  #isProving = false

  constructor(options: ProvenEndsOptions) {
    this.#options = options
    this.#leafDer = options.dialled.leafDer
    this.#notAfterMs = options.proven.notAfterMs
    this.#ourPem = options.certPem
    this.#knownSinceMs = options.wallMs()
    this.#askedAtMs = this.#knownSinceMs
  }

  /** End of the certificate that the destination proved last. */
  get notAfterMs(): number {
    return this.#notAfterMs
  }

  get leafDer(): Uint8Array {
    return this.#leafDer
  }

  /** End of the first of the two certificates that were proved last to end, and of the session with it. */
  get endMs(): number {
    return Math.min(this.#notAfterMs, new X509Certificate(this.#ourPem).validToDate.getTime())
  }

  /** Time until then. */
  get leftMs(): number {
    return this.endMs - this.#options.wallMs()
  }

  /** Whether its session may take flows while another is opened in its place: they last until the next proof. */
  get canStandIn(): boolean {
    return this.attempts.failures === 0 && this.leftMs > STAND_IN_MS
  }

  /**
   * Whether the other end should have proved a renewed certificate by now, or the last attempt to make both prove
   * theirs failed.
   */
  get isOverdue(): boolean {
    return this.attempts.failures > 0 || this.#isTheirsOld
  }

  /** Whether either end has another certificate, or should have: ours is `certPem`, theirs is of a replaced CA. */
  areLate(certPem: string, isReplaced: boolean): boolean {
    if (this.#isProving) return false
    const isNewCaOld = isReplaced && this.#options.wallMs() >= this.#askedAtMs + REPLACED_PAUSE_MS
    return certPem !== this.#ourPem || this.#isTheirsOld || isNewCaOld
  }

  /**
   * Exchanges proofs of the present certificates of both ends. Rejects, and changes nothing, when either is not proved.
   * Rejects with CERTIFICATE_REFUSED, though both are proved, when the other end has not renewed a certificate that it
   * should have by now.
   */
  async prove(credentials: TlsCredentials, verifier: ProxyDeps['verifier'], signal: AbortSignal): Promise<void> {
    const { dialled, proven, wallMs } = this.#options
    this.#isProving = true
    try {
      const proof = makeProof(dialled.socket, 'client', credentials)
      const answer = await exchangeProofs(dialled.session, proof, signal)
      const { identity, leafDer } = checkProof(answer, dialled.socket, 'server', proven.spiffeId, verifier)
      this.#ourPem = credentials.certPem
      this.#askedAtMs = wallMs()
      if (!Buffer.from(leafDer).equals(this.#leafDer)) {
        this.#leafDer = leafDer
        this.#notAfterMs = identity.notAfterMs
        this.#knownSinceMs = wallMs()
      } else if (this.#isTheirsOld) {
        throw new WarrenError(ErrorCode.CertificateRefused, 'the other end has not renewed its certificate')
      }
    } finally {
      this.#isProving = false
    }
  }

  get #isTheirsOld(): boolean {
    return isOld(this.#knownSinceMs, this.#notAfterMs, this.#options.wallMs())
  }
}

/**
 * Whether a certificate that is known since `knownSinceMs`, and ends at `notAfterMs`, should have been renewed by now.
 */
export function isOld(knownSinceMs: number, notAfterMs: number, wallMs: number): boolean {
  return wallMs >= knownSinceMs + (notAfterMs - knownSinceMs) * PROOF_SHARE
}
