import type { ConnectionEncrypter, MessageStream, SecureConnectionOptions, SecuredConnection } from '@libp2p/interface'
import type { noise } from '@libp2p/noise'
import { ErrorCode, type Logger, WarrenError, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { peerKeyFromId } from '../keys.ts'
import { gatherWrites, quietDecoder } from '../libp2p-shims/index.ts'
import { ADMISSION_TIMEOUT_MS, LIVELY_MS } from '../limits.ts'
import type { AdmissionVerdict } from '../types.ts'
import type { AdmissionLog } from './admission-log.ts'
import { DUPLICATE_REFUSAL, type Duplicates } from './duplicates.ts'
import { AdmissionExchange } from './exchange.ts'
import type { Session, Sessions } from './session.ts'
import type { Strangers } from './strangers.ts'

/**
 * Offered unencrypted, as all of libp2p's first negotiation is; so it reveals nothing about the mesh or the host. It
 * differs from the name of plain noise, so that every other libp2p software stops here.
 */
export const ENCRYPTER_PROTOCOL = '/warren/noise/1'

export interface AdmissionDeps {
  readonly nodeChain: () => readonly Uint8Array[]
  readonly verifyChain: (chain: readonly Uint8Array[]) => AdmissionVerdict
  readonly onRefused: ((machine: string, reason: string) => void) | undefined
  readonly sessions: Sessions
  readonly strangers: Strangers
  readonly duplicates: Duplicates
  readonly refusals: AdmissionLog
  readonly log: Logger
}

/** The longest reason of another host that is logged, in characters. */
const MAX_REFUSAL_LENGTH = 512

type Noise = ReturnType<ReturnType<typeof noise>>

/** A second connection to a host that we are connected to, or about to be. Expected, and not logged. */
class DuplicateConnection extends Error {
  override readonly name = 'DuplicateConnection'
}

/**
 * Noise, and inside it the admission: a connection that this returns leads to a host whose certificate chain `verify`
 * accepted and whose PeerId, as the chain names it, is the one that noise proved.
 *
 * It is also the only connection to that host: see `Sessions`. Any other outcome is an error; libp2p then
 * closes the connection before identify, or any other protocol, has run.
 */
export class AdmissionEncrypter implements ConnectionEncrypter {
  readonly protocol = ENCRYPTER_PROTOCOL
  readonly #noise: Noise
  readonly #deps: AdmissionDeps

  constructor(inner: Noise, deps: AdmissionDeps) {
    this.#noise = inner
    this.#deps = deps
  }

  async secureOutbound(raw: MessageStream, options: SecureConnectionOptions = {}): Promise<SecuredConnection> {
    gatherWrites(raw)
    return await within(ADMISSION_TIMEOUT_MS, [options.signal], async signal => {
      const secured = await this.#noise.secureOutbound(raw, { ...options, signal })
      return await this.#admit(
        'outbound',
        raw,
        secured,
        async (session, exchange) => {
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
        },
        signal,
        options.signal
      )
    })
  }

  async secureInbound(raw: MessageStream, options: SecureConnectionOptions = {}): Promise<SecuredConnection> {
    this.#deps.strangers.heard(raw)
    gatherWrites(raw)
    return await within(ADMISSION_TIMEOUT_MS, [options.signal], async signal => {
      const secured = await this.#noise.secureInbound(raw, { ...options, signal })
      return await this.#admit(
        'inbound',
        raw,
        secured,
        async (session, exchange) => {
          const { chain } = await exchange.see()
          const verdict = this.#deps.verifyChain(chain)
          await this.#tellIfRevoked(session, verdict, exchange)
          const machine = machineOf(session, verdict)
          await this.#holdOff(session, exchange)
          if (!this.#deps.sessions.onAnswer(session).keep) throw new DuplicateConnection('we are dialling this host')
          await exchange.show(this.#deps.nodeChain())
          await exchange.awaitConfirmation()
          this.#resolve(session, machine)
          this.#deps.strangers.admitted(raw)
          return machine
        },
        signal,
        options.signal
      )
    })
  }

  async #admit(
    direction: 'inbound' | 'outbound',
    raw: MessageStream,
    secured: SecuredConnection,
    talk: (session: Session, exchange: AdmissionExchange) => Promise<string>,
    signal: AbortSignal,
    outer: AbortSignal | undefined
  ): Promise<SecuredConnection> {
    const { sessions, refusals } = this.#deps
    const session = sessions.begin(peerKeyFromId(secured.remotePeer), direction, raw)
    try {
      const exchange = new AdmissionExchange(quietDecoder(secured.connection), signal)
      const machine = await talk(session, exchange)
      const connection = exchange.release()
      sessions.opened(session, machine, connection)
      return { ...secured, connection }
    } catch (cause) {
      const err = asError(cause)
      // One of two connections to a host is dropped, by either side; and a dial can be cancelled.
      const expected = err instanceof DuplicateConnection || sessions.isSpare(session) || outer?.aborted === true
      if (!expected) refusals.note(session, remoteOf(raw), err)
      // libp2p closes the connection too, but only after the error has passed through several promises.
      raw.abort(err)
      throw err
    }
  }

  // It had our names and addresses as a member, so it learns nothing new; without a reason, its operator would suspect the
  // network. The chain alone is no proof: only the holder of the key that it names receives the reason.
  async #tellIfRevoked(session: Session, verdict: AdmissionVerdict, exchange: AdmissionExchange): Promise<void> {
    if (verdict.ok || verdict.peer !== session.peer) return
    await exchange.show(this.#deps.nodeChain(), verdict.detail)
    // The host closes when it has read the reason; if we closed, data on its way could be lost.
    await exchange.awaitConfirmation().catch(() => {})
  }

  // The host has proved its key, but a connection with the same key is in use: see `Duplicates`.
  async #holdOff(session: Session, exchange: AdmissionExchange): Promise<void> {
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

/** libp2p rejects a write with the close event of its connection, which is not an error and has no message. */
function asError(cause: unknown): Error {
  if (cause instanceof Error) return cause
  const error = cause instanceof Event && 'error' in cause ? cause.error : undefined
  return error instanceof Error ? error : new Error('the connection closed')
}

/** An IPv4 address on a listener of both families, in a multiaddr. */
const MAPPED = /^\/ip6\/::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\//

/** The remote address of the connection, if available: libp2p passes its connections as plain message streams. */
function remoteOf(raw: MessageStream): string {
  const text = 'remoteAddr' in raw ? String(raw.remoteAddr) : ''
  return text.replace(MAPPED, (_, high: string, low: string) => {
    const bytes = [high, low].flatMap(group => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255])
    return `/ip4/${bytes.join('.')}/`
  })
}
