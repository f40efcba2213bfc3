import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls'
import {
  connectTcp,
  ErrorCode,
  type HostPort,
  parseHostPort,
  raceAbort,
  WarrenError,
  type WarrenErrorOptions,
  within
} from '../../core/index.ts'
import { DIAL_TIMEOUT_MS } from '../timing.ts'
import { clientOptions, SESSION_WINDOW_BYTES } from './http2-options.ts'
import { type PeerChain, peerChainOf } from './peer-chain.ts'
import { agreedVersions, isSessionAlpn, SESSION_ALPNS, type SessionVersions } from './versions.ts'

/** A session that the other agent accepted with our certificate, and whose certificate was verified here. */
export interface Dialled {
  readonly session: ClientHttp2Session
  readonly socket: TLSSocket
  readonly leafDer: Uint8Array
  /** Versions for what runs beside the session. */
  readonly versions: SessionVersions
  /** Where it was dialled, if this agent dialled an address. */
  readonly at?: DialledAt
  /** Makes another connection to the data port of the other agent. @default dials where this session's connection leads */
  readonly connectBeside?: (signal: AbortSignal) => Promise<Socket>
}

/** An address of another agent, and the one of this host that the connection is bound to. */
export interface DialledAt {
  readonly address: string
  /** @default the kernel has chosen it */
  readonly localAddress?: string
}

/** The alert of a TLS server that knows none of the protocols that it was offered. */
const NO_COMMON_ALPN = 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL'
/** Longer than any name or address is. */
const MAX_HOST_LENGTH = 255

/** UNSUPPORTED: the other agent speaks no version of sessions that this one speaks. */
export class NoCommonSession extends WarrenError {
  constructor(reason: string, options: WarrenErrorOptions) {
    super(ErrorCode.Unsupported, reason, options)
  }
}

export interface DialOptions {
  readonly context: SecureContext
  readonly servername: string
  /** Throws unless the certificate is that of the wanted destination. */
  readonly verify: (peerChain: PeerChain) => void
  /** Whether this agent resumes flows. @default false */
  readonly resumes?: boolean
  /**
   * A flow waits for the session: once the other host has accepted the connection, its agent gets the time of an attempt to continue
   * it. It may be replacing its process, and finds the connection then. @default false
   */
  readonly isPatient?: boolean
  /** The registration of this host that the session is for. */
  readonly sourceId?: string
}

/** Opens a session to the agent at "host:port". Rejects with the first failure, or with the signal's reason. */
export async function dialAddress(at: DialledAt, options: DialOptions, signal: AbortSignal): Promise<Dialled> {
  signal.throwIfAborted()
  const { host, port } = peerAddress(at.address)
  const how = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000, ...boundTo(at) }
  const socket = await within(DIAL_TIMEOUT_MS, [signal], limit => connectTcp({ host, port, ...how }, limit))
  return { ...(await openSession(socket, options, signal)), at }
}

/** The options of a connection that begins where that of a session does. */
export function boundTo(at: DialledAt | undefined): { readonly localAddress?: string } {
  const localAddress = at?.localAddress
  return localAddress === undefined ? {} : { localAddress }
}

/**
 * Opens a session over an established byte stream, and destroys it if that fails.
 *
 * Rejects with a NoCommonSession if the other agent speaks other versions of sessions only.
 *
 * Waits for the other side's first frame: a TLS client reports success before the server has verified its certificate.
 */
export async function openSession(transport: Duplex, options: DialOptions, signal: AbortSignal): Promise<Dialled> {
  const failed = Promise.withResolvers<never>()
  const fail = (err: Error): void => {
    failed.reject(err)
  }
  failed.promise.catch(() => {})
  transport.on('error', fail)
  const socket = connectTls({
    socket: transport,
    secureContext: options.context,
    servername: options.servername,
    ALPNProtocols: [...SESSION_ALPNS],
    rejectUnauthorized: true,
    // Names in our certificates are SPIFFE IDs; `verify` compares them.
    checkServerIdentity: () => undefined
  })
  socket.on('error', (err: NodeJS.ErrnoException) =>
    fail(
      err.code === NO_COMMON_ALPN
        ? new NoCommonSession('the agent there speaks other versions of sessions', { cause: err })
        : err
    )
  )
  socket.once('close', () =>
    fail(new WarrenError(ErrorCode.DestinationUnreachable, 'the other agent closed the connection'))
  )
  let session: ClientHttp2Session | undefined
  try {
    const secured = new Promise<void>(resolve => socket.once('secureConnect', resolve))
    await raceAbort(Promise.race([secured, failed.promise]), signal)
    const peerChain = peerChainOf(socket)
    if (peerChain === undefined || !isSessionAlpn(socket.alpnProtocol)) {
      throw new WarrenError(ErrorCode.DestinationUnreachable, 'the peer there is not an agent')
    }
    options.verify(peerChain)
    const made = connectHttp2(`https://${options.servername}`, {
      ...clientOptions(options.resumes),
      createConnection: () => socket
    })
    session = made
    made.on('error', fail)
    const greeted = new Promise<void>(resolve => made.once('remoteSettings', () => resolve()))
    await raceAbort(Promise.race([greeted, failed.promise]), signal)
    made.setLocalWindowSize(SESSION_WINDOW_BYTES)
    const versions = agreedVersions(made.remoteSettings)
    const resume = options.resumes === true ? versions.resume : undefined
    return { session: made, socket, leafDer: peerChain.leafDer, versions: { ...versions, resume } }
  } catch (err) {
    session?.destroy()
    socket.destroy()
    transport.destroy()
    throw err
  }
}

function peerAddress(address: string): HostPort {
  try {
    const { host, port } = parseHostPort(address, { defaultHost: '' })
    if (host !== '' && host.length <= MAX_HOST_LENGTH && port !== 0) return { host, port }
  } catch {
    // A malformed announcement is a fault of the other host, not of our arguments.
  }
  throw new WarrenError(ErrorCode.DestinationUnreachable, 'its agent announces a malformed data address')
}
