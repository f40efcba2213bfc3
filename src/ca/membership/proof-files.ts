import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ErrorCode, fileFault, WarrenError } from '../../core/index.ts'
import { isInvitation, type JoinProof, type JoinToken } from '../../identity/index.ts'

/** The files with which a host proves its right to join. */
export interface ProofFiles {
  readonly joinCert?: string | undefined
  readonly joinKey?: string | undefined
  readonly joinOidc?: string | undefined
}

const MAX_FILE_BYTES = 65_536
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g

/**
 * The proof for an invitation, from its files; undefined for a token, which is its own proof. Throws INVALID_OPTION if the proof is
 * missing, or a file cannot be used.
 */
export function readProof(token: JoinToken, files: ProofFiles): JoinProof | undefined {
  const { joinCert, joinKey, joinOidc } = files
  const isCertificate = joinCert !== undefined || joinKey !== undefined
  if (!isInvitation(token)) {
    if (!isCertificate && joinOidc === undefined) return undefined
    throw new WarrenError(ErrorCode.InvalidOption, 'a join token and another proof exclude each other', {
      hint: 'For a certificate or an OIDC token give the invitation of the authority: `warren authority invite`.'
    })
  }
  if (isCertificate === (joinOidc !== undefined)) {
    throw new WarrenError(ErrorCode.InvalidOption, 'an invitation needs exactly one proof', {
      hint: 'Give --join-with-cert and --join-with-key, or --join-with-oidc.'
    })
  }
  if (joinOidc !== undefined) return { method: 'oidc', token: read('--join-with-oidc', joinOidc).trim() }
  if (joinCert === undefined || joinKey === undefined) {
    throw new WarrenError(ErrorCode.InvalidOption, '--join-with-cert and --join-with-key belong together')
  }
  return { method: 'certificate', chain: chainOf(joinCert), key: keyOf(joinKey) }
}

function chainOf(path: string): Uint8Array[] {
  const blocks = read('--join-with-cert', path).match(CERTIFICATE) ?? []
  try {
    if (blocks.length > 0) return blocks.map(pem => Uint8Array.from(new X509Certificate(pem).raw))
  } catch (cause) {
    throw new WarrenError(ErrorCode.InvalidOption, `--join-with-cert: ${path} has a damaged certificate`, { cause })
  }
  throw new WarrenError(ErrorCode.InvalidOption, `--join-with-cert: ${path} has no certificate in PEM`)
}

function keyOf(path: string): KeyObject {
  try {
    return createPrivateKey(read('--join-with-key', path))
  } catch (err) {
    if (err instanceof WarrenError) throw err
    // The cause is left out, because it could quote the key.
    throw new WarrenError(
      ErrorCode.InvalidOption,
      `--join-with-key: ${path} has no private key in PEM without a password`
    )
  }
}

function read(option: string, path: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const { why, hint } = fileFault(path, cause)
    throw new WarrenError(ErrorCode.InvalidOption, `${option}: cannot read ${path}: ${why}`, { cause, hint })
  }
  if (text.length <= MAX_FILE_BYTES) return text
  throw new WarrenError(ErrorCode.InvalidOption, `${option}: ${path} is too large`)
}
