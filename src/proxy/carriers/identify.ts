import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { connectTcp, ErrorCode, parseHostPort, raceAbort, systemCode, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { HOST_ALPN, type PeerChain, peerChainOf, TLS_POLICY } from '../tls/index.ts'
import type { ProbedAgent } from './carrier.ts'

/** The host that a certificate of an agent proves. */
export type AgentVerdict =
  | { readonly ok: true; readonly identity: { readonly machine: string; readonly peer: PeerKey } }
  | { readonly ok: false; readonly detail: string }

export interface IdentifyDeps {
  readonly trustDomain: string
  /** Verifies the certificate of an agent, with the certificates above it as the agent sent them. */
  readonly verifyAgent: (leafDer: Uint8Array, issuersDer: readonly Uint8Array[]) => AgentVerdict
}

/**
 * Connects to a data port and resolves if the agent of the right host proves itself there. Rejects with who answers instead, or
 * how nobody does, in words for people; the words name a firewall where it is likely.
 */
export async function identify(
  address: string,
  agent: ProbedAgent,
  deps: IdentifyDeps,
  signal: AbortSignal
): Promise<void> {
  await identifyOver(await connected(address, signal), agent, deps, signal)
}

/** The same over a connection, which it closes. */
export async function identifyOver(
  transport: Socket,
  agent: ProbedAgent,
  deps: IdentifyDeps,
  signal: AbortSignal
): Promise<void> {
  const socket = connectTls({
    ...TLS_POLICY,
    socket: transport,
    ALPNProtocols: [HOST_ALPN],
    // `checkHost` verifies: TLS would say of most that it is unable to.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined
  })
  try {
    await secured(socket, transport, signal)
  } catch (err) {
    socket.destroy()
    transport.destroy()
    throw err
  }
  // After the last of the handshake has left: an agent would log a stranger who broke it off.
  socket.destroySoon()
  checkHost(socket, agent, deps)
}

async function connected(address: string, signal: AbortSignal): Promise<Socket> {
  try {
    return await connectTcp(parseHostPort(address), signal)
  } catch (err) {
    throw fault(signal.aborted ? 'nothing comes back: the host is down, or a firewall drops it' : refusal(err))
  }
}

function refusal(err: unknown): string {
  const code = systemCode(err)
  if (code === 'ECONNREFUSED') return 'nobody listens there, or a firewall rejects it'
  if (code === 'ECONNRESET') return 'the connection is reset at once: a firewall may do that'
  return err instanceof Error ? err.message : String(err)
}

async function secured(socket: TLSSocket, transport: Socket, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const closed = (): void => reject(new Error('closed'))
  // The handlers stay: later errors must not end the process.
  for (const stream of [socket, transport]) stream.on('error', reject).once('close', closed)
  socket.once('secureConnect', resolve)
  try {
    await raceAbort(promise, signal)
  } catch (err) {
    throw fault(signal.aborted ? SILENT : handshakeFault(err, transport.bytesRead))
  }
}

const SILENT = 'something accepts the connection and says nothing: another program, or an agent that stands still'

function handshakeFault(err: unknown, bytesRead: number): string {
  const code = systemCode(err) ?? ''
  if (code.includes('_ALERT_')) return 'it speaks TLS, but is no agent of this version'
  if (code.startsWith('ERR_SSL_')) return 'another program listens there: it does not speak TLS as an agent does'
  const how = code === 'ECONNRESET' ? 'reset' : 'closed'
  if (bytesRead > 0) return `another program listens there: the connection is ${how} during its answer`
  return `the connection is ${how} unanswered: another program, a firewall, or an agent with too many connections`
}

function checkHost(
  socket: TLSSocket,
  { machine, peer }: ProbedAgent,
  { verifyAgent, trustDomain }: IdentifyDeps
): void {
  const chain = peerChainOf(socket)
  if (chain === undefined || socket.alpnProtocol !== HOST_ALPN)
    throw fault('a TLS server that is no agent answers there')
  const verdict = verifyAgent(chain.leafDer, chain.issuersDer)
  if (!verdict.ok) throw fault(untrusted(chain, trustDomain, verdict.detail))
  const { identity } = verdict
  if (identity.machine !== machine) throw fault(`the agent of ${identity.machine} answers there`)
  if (identity.peer !== peer) throw fault(`an agent of ${machine} with other keys answers there: the host joined anew`)
}

/** The trust domain is what the certificate claims: nothing proves it. */
function untrusted({ leafDer }: PeerChain, trustDomain: string, detail: string): string {
  const names = new X509Certificate(leafDer).subjectAltName ?? ''
  const claimed = /^URI:spiffe:\/\/([a-z0-9._-]{1,255})\//.exec(names)?.[1]
  if (claimed === undefined) return 'a TLS server that is no agent answers there'
  if (claimed !== trustDomain) return `an agent of another trust domain answers there, ${claimed} by its own account`
  return `an agent that is not trusted answers there: ${detail}`
}

function fault(text: string): WarrenError {
  return new WarrenError(ErrorCode.DestinationUnreachable, text)
}
