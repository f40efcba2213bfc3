import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { LIVELY_MS } from '../limits.ts'
import type { AdmissionVerdict } from '../types.ts'
import { DUPLICATE_REFUSAL, type Duplicates } from './duplicates.ts'
import type { AdmissionExchange } from './exchange.ts'
import type { Session, Sessions } from './session.ts'

export interface DialogueDeps {
  readonly nodeChain: () => readonly Uint8Array[]
  readonly verifyChain: (chain: readonly Uint8Array[]) => AdmissionVerdict
  readonly onRefused: ((machine: string, reason: string) => void) | undefined
  readonly sessions: Sessions
  readonly duplicates: Duplicates
}

/** What each side says to the other, by whatever carries it. */
export type Exchange = Pick<AdmissionExchange, 'show' | 'see' | 'confirm' | 'awaitConfirmation'>

/** The longest reason of another host that is logged, in characters. */
const MAX_REFUSAL_LENGTH = 512

/** A second connection to a host that we are connected to, or about to be. Expected, and not logged. */
export class DuplicateConnection extends Error {
  override readonly name = 'DuplicateConnection'
}

/**
 * Every decision of an admission: whose chain is believed, who learns a reason, and which of two connections to one host stays.
 *
 * It neither encrypts nor reads the network, so that a simulation can run it. Each method resolves to the machine name of the other
 * host, which is admitted then; any other outcome is an error, after which the connection must be closed.
 */
export class AdmissionDialogue {
  readonly #deps: DialogueDeps

  constructor(deps: DialogueDeps) {
    this.#deps = deps
  }

  /** As the side that dialled. Throws REVOKED if the other refuses this host, CERTIFICATE_REFUSED, or a `DuplicateConnection`. */
  async outbound(session: Session, exchange: Exchange): Promise<string> {
    await exchange.show(this.#deps.nodeChain())
    const { chain, refusal } = await exchange.see()
    const machine = machineOf(session, this.#deps.verifyChain(chain))
    if (refusal === DUPLICATE_REFUSAL) {
      this.#deps.duplicates.ownRefused(machine)
      throw new DuplicateConnection(refusal)
    }
    if (refusal !== '') {
      const reason = refusal.slice(0, MAX_REFUSAL_LENGTH)
      this.#deps.onRefused?.(machine, reason)
      throw new WarrenError(ErrorCode.Revoked, `${machine} refuses this host: ${reason}`)
    }
    this.#resolve(session, machine)
    await exchange.confirm()
    return machine
  }

  /** As the side that was dialled. Throws CERTIFICATE_REFUSED, or a `DuplicateConnection`. */
  async inbound(session: Session, exchange: Exchange): Promise<string> {
    const { chain } = await exchange.see()
    const verdict = this.#deps.verifyChain(chain)
    await this.#tellIfRevoked(session, verdict, exchange)
    const machine = machineOf(session, verdict)
    await this.#holdOff(session, exchange)
    if (!this.#deps.sessions.onAnswer(session).keep) throw new DuplicateConnection('we are dialling this host')
    await exchange.show(this.#deps.nodeChain())
    await exchange.awaitConfirmation()
    this.#resolve(session, machine)
    return machine
  }

  // It had our names and addresses as a member, so it learns nothing new; without a reason, its operator would suspect the
  // network. The chain alone is no proof: only the holder of the key that it names receives the reason.
  async #tellIfRevoked(session: Session, verdict: AdmissionVerdict, exchange: Exchange): Promise<void> {
    if (verdict.ok || verdict.peer !== session.peer) return
    await exchange.show(this.#deps.nodeChain(), verdict.detail)
    // The host closes when it has read the reason; if we closed, data on its way could be lost.
    await exchange.awaitConfirmation().catch(() => {})
  }

  // The host has proved its key, but a connection with the same key is in use: see `Duplicates`.
  async #holdOff(session: Session, exchange: Exchange): Promise<void> {
    const { sessions, duplicates } = this.#deps
    if (!sessions.hasLively(session, LIVELY_MS) || !duplicates.isHeldOff(session.peer)) return
    await exchange.show(this.#deps.nodeChain(), DUPLICATE_REFUSAL)
    await exchange.awaitConfirmation().catch(() => {})
    throw new DuplicateConnection(DUPLICATE_REFUSAL)
  }

  #resolve(session: Session, machine: string): void {
    const { sessions, duplicates } = this.#deps
    const isLively = sessions.hasLively(session, LIVELY_MS)
    const resolution = sessions.onComplete(session)
    if (!resolution.keep) throw new DuplicateConnection('there is a connection to this host')
    if (resolution.replaces.length > 0 && isLively) duplicates.replaced(session.peer, machine)
    for (const old of resolution.replaces) {
      // Aborted before the new connection is returned, so that the services of libp2p see the host leave and return.
      old.raw.abort(new DuplicateConnection('the host has dialled again'))
    }
  }
}

function machineOf(session: Session, verdict: AdmissionVerdict): string {
  if (!verdict.ok) {
    throw new WarrenError(ErrorCode.CertificateRefused, `${verdict.reason}: ${verdict.detail}`)
  }
  // A member's chain is not secret: only the holder of the key that it names may use it.
  if (verdict.peer !== (session.peer satisfies PeerKey)) {
    throw new WarrenError(ErrorCode.CertificateRefused, `the chain belongs to another host, ${verdict.machine}`)
  }
  return verdict.machine
}
