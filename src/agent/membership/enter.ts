import { randomBytes } from 'node:crypto'
import { connect, type TLSSocket } from 'node:tls'
import { raceAbort } from '../../core/index.ts'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  JOIN_ALPN,
  type JoinConnection,
  type JoinToken,
  join,
  keyToPem
} from '../../identity/index.ts'
import { type Vault, VaultFile } from '../state/vault.ts'
import { parseHostPort } from '../workloads/index.ts'
import { encodeChain } from './chain-file.ts'

/**
 * Joins the trust domain of a token and writes the membership; returns where members can be dialled.
 *
 * Nothing is written before the authority's answer was judged, and the node chain is written last, so that an
 * interrupted join leaves no half membership. Throws as `join` of identity.
 */
export async function enter(
  vault: Vault,
  token: JoinToken,
  nowMs: () => number,
  signal: AbortSignal
): Promise<readonly string[]> {
  const peerKey = generatePeerKeyPair()
  const nodeKey = generateSigningKeyPair()
  const joined = await join({ token, peerKey, nodeKey, connect: dial, nowMs, signal })
  vault.write(VaultFile.RootFingerprint, token.rootSha256)
  vault.write(VaultFile.PeerKey, keyToPem(peerKey))
  vault.write(VaultFile.NodeKey, keyToPem(nodeKey))
  vault.write(VaultFile.NodeSecret, randomBytes(32))
  vault.write(VaultFile.TrustBundle, joined.trustBundle)
  vault.write(VaultFile.NodeChain, encodeChain(joined.node.chainDer))
  return joined.meshAddresses
}

async function dial(address: string, signal: AbortSignal): Promise<JoinConnection> {
  const { host, port } = parseHostPort(address)
  const socket = connect({
    host,
    port,
    ALPNProtocols: [JOIN_ALPN],
    minVersion: 'TLSv1.3',
    // Not a check left out: who the other side is, the join itself finds out, against the root that the token pins.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined
  })
  const connected = Promise.withResolvers<TLSSocket>()
  socket.once('secureConnect', () => connected.resolve(socket)).once('error', connected.reject)
  try {
    await raceAbort(connected.promise, signal)
    const certificate = socket.getPeerX509Certificate()
    if (socket.alpnProtocol !== JOIN_ALPN || certificate === undefined) throw new Error('no agent answers there')
    return { stream: socket, peerCertificate: certificate.raw }
  } catch (err) {
    socket.on('error', () => {})
    socket.destroy()
    throw err
  }
}
