import { ErrorCode, WarrenError } from '../../core/index.ts'
import { formatAddress } from '../../identity/index.ts'
import type { BrokerDeps, Candidate, ProvenWorkload } from '../deps.ts'
import type { Shown } from '../tls/index.ts'

/**
 * Who answers a session: what its certificate proves, if that is the workload that was dialled.
 *
 * Throws DESTINATION_UNREACHABLE where the certificate is refused or names another workload.
 */
export function provenDestination(
  judge: BrokerDeps['judge'],
  { leafDer, issuersDer }: Shown,
  destination: Candidate
): ProvenWorkload {
  const verdict = judge.workload(leafDer, issuersDer)
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
