import { ErrorCode, type Metrics, WarrenError } from '../../core/index.ts'
import type { Carried, Carrier } from '../carriers/index.ts'
import type { Candidate, ProvenWorkload, ProxyDeps } from '../deps.ts'
import { type DialContext, type DialOptions, sniOf } from '../tls/index.ts'
import type { KnownCarriers } from './known-carriers.ts'
import { namingVersions } from './naming-versions.ts'
import { provenDestination } from './proven-destination.ts'

/** The two ends of a session that is dialled. */
export interface DialledEnds {
  readonly sourceId: string
  readonly destination: Candidate
  readonly context: DialContext
}

export interface DialSessionDeps {
  readonly deps: ProxyDeps
  readonly carriers: KnownCarriers
  readonly metrics: Metrics
  readonly stopping: AbortSignal
}

/**
 * Opens a session by a carrier, and notes how that went. Resolves once the other end has proved that it is the destination.
 *
 * Rejects with DESTINATION_UNREACHABLE, UNSUPPORTED or the reason of `stopping`.
 */
export async function dialSession(
  carrier: Carrier,
  { sourceId, destination, context }: DialledEnds,
  { deps, carriers, metrics, stopping }: DialSessionDeps
): Promise<{ readonly made: Carried; readonly proven: ProvenWorkload }> {
  let proven: ProvenWorkload | undefined
  let shown = false
  const options: DialOptions = {
    context: context.context,
    sourceId,
    isPatient: context.isPatient === true,
    servername: sniOf(destination.registrationId),
    resumes: (deps.resumeWindowMs ?? 0) > 0,
    verify: offered => {
      shown = true
      proven = provenDestination(deps.verifier, offered, destination)
    }
  }
  const { machine } = destination
  let made: Carried
  try {
    made = await carrier.dial(destination, options, stopping)
  } catch (err) {
    carriers.failed(carrier, machine)
    const refused = WarrenError.is(err, ErrorCode.DestinationUnreachable) && shown && proven === undefined
    metrics.count('warren_handshakes_total', { role: 'client', result: refused ? 'refused' : 'failed' })
    if (err instanceof WarrenError) throw namingVersions(err, destination)
    throw new WarrenError(ErrorCode.DestinationUnreachable, `the agent of ${machine} does not answer`, { cause: err })
  }
  carriers.worked(carrier, machine)
  metrics.count('warren_handshakes_total', { role: 'client', result: 'ok' })
  if (proven === undefined) throw new WarrenError(ErrorCode.Internal, 'a session without a proof')
  return { made, proven }
}
