import { connect, type TLSSocket } from 'node:tls'
import { connectTcp, ErrorCode, parseHostPort, raceAbort, TLS_GROUPS, WarrenError } from '../../core/index.ts'
import type { JoinConnection } from '../../identity/index.ts'

/** The alert of a TLS server that does not know the protocol that it was asked for. */
const NO_COMMON_ALPN = 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL'

function unspoken(alpn: string): WarrenError {
  const reason = `the agent there does not speak ${alpn}, and this program no other version: upgrade the older of the two`
  return new WarrenError(ErrorCode.Unsupported, reason)
}

/** Connects by TLS 1.3 to the data port of an agent, for an exchange that authenticates the other side itself. */
export async function dialAgent(address: string, alpn: string, signal: AbortSignal): Promise<JoinConnection> {
  const transport = await connectTcp(parseHostPort(address), signal)
  const socket = connect({
    socket: transport,
    ALPNProtocols: [alpn],
    minVersion: 'TLSv1.3',
    ecdhCurve: TLS_GROUPS,
    // This is not a missing check: the exchange authenticates the other side, by the root that this host trusts.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined
  })
  const connected = Promise.withResolvers<TLSSocket>()
  socket
    .once('secureConnect', () => connected.resolve(socket))
    .once('error', (err: NodeJS.ErrnoException) => connected.reject(err.code === NO_COMMON_ALPN ? unspoken(alpn) : err))
  try {
    await raceAbort(connected.promise, signal)
    const certificate = socket.getPeerX509Certificate()
    if (socket.alpnProtocol !== alpn || certificate === undefined) throw new Error('no agent answers there')
    return { stream: socket, peerCertificate: certificate.raw }
  } catch (err) {
    socket.on('error', () => {})
    socket.destroy()
    transport.destroy()
    throw err
  }
}
