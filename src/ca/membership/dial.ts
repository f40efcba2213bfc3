import { connect, type TLSSocket } from 'node:tls'
import { connectTcp, parseHostPort, raceAbort, TLS_GROUPS } from '../../core/index.ts'
import type { JoinConnection } from '../../identity/index.ts'

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
  socket.once('secureConnect', () => connected.resolve(socket)).once('error', connected.reject)
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
