import { ErrorCode, WarrenError } from '../../core/index.ts'
import { formatAddress } from '../../identity/index.ts'
import type { Candidate, ProvenWorkload, ProxyDeps } from '../deps.ts'
import type { PeerChain } from '../tls/index.ts'

/**
 * Returns the identity that the certificate of a session's other end proves, if it is the workload that was dialled.
 *
 * Throws DESTINATION_UNREACHABLE if the certificate is refused or names another workload.
 */
export function provenDestination(
  verifier: ProxyDeps['verifier'],
  { leafDer, issuersDer }: PeerChain,
  destination: Candidate
): ProvenWorkload {
  const verdict = verifier.workload(leafDer, issuersDer)
  if (!verdict.ok) {
    throw new WarrenError(ErrorCode.DestinationUnreachable, `its certificate is refused: ${verdict.detail}`)
  }
  const wanted = formatAddress(destination.address)
  const shown = formatAddress(verdict.identity.address)
  if (shown !== wanted) {
    throw new WarrenError(ErrorCode.DestinationUnreachable, `${shown} answers there instead of ${wanted}`)
  }
  return verdict.identity
}
