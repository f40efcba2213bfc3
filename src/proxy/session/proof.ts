import { X509Certificate } from 'node:crypto'
import type { ClientHttp2Session } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { CONTEXT, parseCertificate, signP256, verifyP256 } from '../../identity/index.ts'
import { create, decode, proxyPb, readBody, toBinary } from '../../wire/index.ts'
import type { ProvenWorkload, ProxyDeps, TlsCredentials } from '../deps.ts'
import { codeOf } from '../flow/index.ts'
import { ask } from './ask.ts'

/** The end of the session whose certificate a proof is about. */
export type Role = 'client' | 'server'

export const PROOF_PATH = '/warren/session-proof'
/** Room for three certificates and a signature. */
export const MAX_PROOF_BYTES = 32 * 1024

const EXPORTER_LABEL = 'EXPORTER-warren-session-proof'
const EXPORTER_BYTES = 32
const CHAIN_LENGTH = 3
const BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g

/** Result of a verified proof. */
export interface Proved {
  readonly identity: ProvenWorkload
  readonly leafDer: Uint8Array
}

/** Proves that who is at this end of a TLS connection holds `credentials` too. Bytes of a SessionProof. */
export function makeProof(socket: TLSSocket, role: Role, { certPem, key }: TlsCredentials): Uint8Array {
  const certificateChain = [...certPem.matchAll(BLOCK)].map(([pem]) => Uint8Array.from(new X509Certificate(pem).raw))
  const signature = signP256(key, CONTEXT.sessionProof, content(socket, role))
  return toBinary(proxyPb.SessionProofSchema, create(proxyPb.SessionProofSchema, { certificateChain, signature }))
}

/**
 * Verifies a proof of the other end, which has that role: its certificate is as good as one in a handshake would have
 * to be, has the same SPIFFE ID that this session was proved with, and its key has signed for this TLS connection.
 *
 * Throws MESSAGE_TOO_LARGE, MESSAGE_MALFORMED or CERTIFICATE_REFUSED.
 */
export function checkProof(
  bytes: Uint8Array,
  socket: TLSSocket,
  role: Role,
  spiffeId: string,
  verifier: ProxyDeps['verifier']
): Proved {
  const { certificateChain, signature } = decode(proxyPb.SessionProofSchema, bytes, MAX_PROOF_BYTES)
  const [leaf, ...issuersDer] = certificateChain.map(der => Uint8Array.from(der))
  if (leaf === undefined || certificateChain.length !== CHAIN_LENGTH)
    throw refused('it does not hold three certificates')
  const verdict = verifier.workload(leaf, issuersDer)
  if (!verdict.ok) throw refused(verdict.detail)
  if (verdict.identity.spiffeId !== spiffeId) throw refused(`it is of ${verdict.identity.spiffeId}, not ${spiffeId}`)
  if (!verifyP256(parseCertificate(leaf).publicKey, CONTEXT.sessionProof, content(socket, role), signature)) {
    throw refused('its key has not signed for this session')
  }
  return { identity: verdict.identity, leafDer: leaf }
}

/** Sends our proof and resolves with the other end's, not verified. Rejects with its refusal or the signal's reason. */
export async function exchangeProofs(
  session: ClientHttp2Session,
  proof: Uint8Array,
  signal: AbortSignal
): Promise<Uint8Array> {
  const headers = { ':method': 'POST', ':scheme': 'https', ':path': PROOF_PATH }
  const stream = await ask(session, headers, signal, { body: proof }).answered
  try {
    return await readBody(stream, { maxBytes: MAX_PROOF_BYTES, signal })
  } finally {
    if (!stream.closed) stream.close(codeOf('link'))
  }
}

// The exporter is known to the two ends of this connection only, and the role keeps an end from sending a received
// proof back.
function content(socket: TLSSocket, role: Role): Buffer {
  const exported = socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(0))
  return Buffer.concat([Buffer.from(role), Buffer.of(0), exported])
}

function refused(why: string): WarrenError {
  return new WarrenError(ErrorCode.CertificateRefused, `the proof of a renewed certificate: ${why}`)
}
