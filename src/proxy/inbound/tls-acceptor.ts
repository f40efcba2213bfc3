import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer, type SecureContext, type Server, type TLSSocket } from 'node:tls'
import { networkOf, withoutMapping } from '../../core/index.ts'
import { JOIN_ALPN, RENEW_ALPN } from '../../identity/index.ts'
import type { TlsCredentials } from '../deps.ts'
import { HANDSHAKE_TIMEOUT_MS } from '../timing.ts'
import { contextOptions, HOST_ALPN, SESSION_ALPNS, TLS_POLICY } from '../tls/index.ts'

export interface TlsAcceptorOptions {
  /** Returns the context for a server name, or undefined for the default one, which a joiner sees. */
  readonly choose: (servername: string) => Promise<SecureContext | undefined>
  readonly defaults: () => { readonly credentials: TlsCredentials; readonly roots: readonly string[] }
  /** Gets each socket whose handshake is done, whatever certificate it showed. */
  readonly onSecure: (socket: TLSSocket, remote: string) => void
  readonly onFailure: (err: Error, remote: string) => void
}

/** The TLS server for one kind of carrier. It does not listen; connections are handed to it. */
export class TlsAcceptor {
  readonly #server: Server
  readonly #options: TlsAcceptorOptions
  // A TLSSocket does not show which stream is below it; for TCP both have the same remote end.
  readonly #releases = new Map<string, () => void>()
  #pem = ''

  constructor(options: TlsAcceptorOptions) {
    this.#options = options
    this.#server = createServer({
      ...TLS_POLICY,
      // Else Node parses all the certificates of public authorities for a context that is replaced before it is used.
      ca: [],
      requestCert: true,
      // A joiner has no certificate yet. Other peers without one are refused after the handshake.
      rejectUnauthorized: false,
      ALPNProtocols: [...SESSION_ALPNS, JOIN_ALPN, RENEW_ALPN, HOST_ALPN],
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      SNICallback: (name, done) => {
        options.choose(name).then(
          context => done(null, context),
          (err: unknown) => done(err instanceof Error ? err : new Error(String(err)))
        )
      }
    })
    this.#server.on('secureConnection', socket => {
      socket.on('error', () => {})
      const end = endOf(socket)
      this.#releases.get(end)?.()
      options.onSecure(socket, end)
    })
    this.#server.on('tlsClientError', (err, socket) => {
      options.onFailure(err, endOf(socket))
      socket.destroy()
    })
  }

  /** Starts the handshake on a byte stream. */
  accept(transport: Duplex): void {
    transport.on('error', () => {})
    this.#refreshDefaults()
    this.#server.emit('connection', transport)
  }

  /** The same for a TCP connection. `release` is called when it is secure. */
  acceptTcp(socket: Socket, release: () => void): void {
    const end = endOf(socket)
    this.#releases.set(end, release)
    socket.once('close', () => this.#releases.delete(end))
    this.accept(socket)
  }

  #refreshDefaults(): void {
    const { credentials, roots } = this.#options.defaults()
    if (credentials.certPem === this.#pem) return
    this.#server.setSecureContext(contextOptions(credentials, roots))
    this.#pem = credentials.certPem
  }
}

/** The network of an end: log lines are bounded for each, whatever ports it uses. */
export function networkOfEnd(end: string): string {
  return networkOf(end.split(' ', 1)[0] ?? '')
}

/** Names the remote end of a TCP connection; empty for other streams. */
export function endOf(socket: Socket): string {
  return socket.remoteAddress === undefined ? '' : `${withoutMapping(socket.remoteAddress)} ${socket.remotePort}`
}
