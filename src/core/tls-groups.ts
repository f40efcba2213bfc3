import { createSecureContext } from 'node:tls'
import { ErrorCode, WarrenError } from './errors.ts'

/**
 * The only group in which the TLS endpoints of an agent agree on keys, as `ecdhCurve` of Node: X25519 and ML-KEM-768
 * together. What is recorded today stays secret as long as one of the two holds, also from a later quantum computer.
 */
export const TLS_GROUPS = 'X25519MLKEM768'

/** Throws UNSUPPORTED if the OpenSSL of this Node does not know the group: no connection would come about. */
export function requireTlsGroups(groups = TLS_GROUPS): void {
  try {
    // Without `ca`, Node parses all the certificates of public authorities, of which no agent uses any.
    createSecureContext({ ecdhCurve: groups, ca: [] })
  } catch (cause) {
    const reason = `the TLS of this Node (OpenSSL ${process.versions.openssl}) does not know ${groups}`
    throw new WarrenError(ErrorCode.Unsupported, reason, {
      cause,
      hint: 'Use the version of Node that this version of warren was tested with; it has OpenSSL 3.5 or later.'
    })
  }
}
