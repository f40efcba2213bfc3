import type { ConnectionEncrypter, MessageStream, SecureConnectionOptions, SecuredConnection } from '@libp2p/interface'
import type { noise } from '@libp2p/noise'
import { type Logger, within } from '../../core/index.ts'
import { peerKeyFromId } from '../keys.ts'
import { gatherWrites, quietDecoder } from '../libp2p-shims/index.ts'
import { ADMISSION_TIMEOUT_MS } from '../limits.ts'
import type { AdmissionLog } from './admission-log.ts'
import { AdmissionDialogue, type DialogueDeps, DuplicateConnection } from './dialogue.ts'
import { AdmissionExchange } from './exchange.ts'
import type { Session } from './session.ts'
import type { Strangers } from './strangers.ts'

/**
 * Offered unencrypted, as all of libp2p's first negotiation is; so it reveals nothing about the mesh or the host. It
 * differs from the name of plain noise, so that every other libp2p software stops here.
 */
export const ENCRYPTER_PROTOCOL = '/warren/noise/1'

export interface AdmissionDeps extends DialogueDeps {
  readonly strangers: Strangers
  readonly refusals: AdmissionLog
  readonly log: Logger
}

type Noise = ReturnType<ReturnType<typeof noise>>

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
  readonly #dialogue: AdmissionDialogue

  constructor(inner: Noise, deps: AdmissionDeps) {
    this.#noise = inner
    this.#deps = deps
    this.#dialogue = new AdmissionDialogue(deps)
  }

  async secureOutbound(raw: MessageStream, options: SecureConnectionOptions = {}): Promise<SecuredConnection> {
    gatherWrites(raw)
    return await within(ADMISSION_TIMEOUT_MS, [options.signal], async signal => {
      const secured = await this.#noise.secureOutbound(raw, { ...options, signal })
      return await this.#admit(
        'outbound',
        raw,
        secured,
        (session, exchange) => this.#dialogue.outbound(session, exchange),
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
          const machine = await this.#dialogue.inbound(session, exchange)
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
