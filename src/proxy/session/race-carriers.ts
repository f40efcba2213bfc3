import { ErrorCode, firstOf, raceStaggered, WarrenError } from '../../core/index.ts'
import type { Carrier } from '../carriers/index.ts'
import { CARRIER_STAGGER_MS } from '../timing.ts'
import { NoCommonSession } from '../tls/index.ts'
import type { ClientSession } from './client-session.ts'

/**
 * Resolves with the first session that `get` makes: the carriers of a group begin together, the next group a little later or when
 * those before have failed. Late sessions are kept as well, for the next flow.
 *
 * Rejects with UNSUPPORTED, DESTINATION_UNREACHABLE with the reason of each carrier, or the signal's reason.
 */
export async function raceCarriers(
  groups: readonly (readonly Carrier[])[],
  get: (carrier: Carrier) => Promise<ClientSession>,
  machine: string,
  signal: AbortSignal
): Promise<ClientSession> {
  const failures: string[] = []
  let unsupported: WarrenError | undefined
  const attempt = async (carrier: Carrier): Promise<ClientSession> => {
    try {
      return await get(carrier)
    } catch (err) {
      failures.push(`${carrier.name}: ${WarrenError.from(err).reason}`)
      if (err instanceof NoCommonSession) unsupported = err
      throw err
    }
  }
  const attempts = groups.map(group => () => firstOf(group.map(attempt)))
  try {
    return await raceStaggered(attempts, CARRIER_STAGGER_MS, signal, () => {})
  } catch (err) {
    if (unsupported !== undefined && !signal.aborted) throw unsupported
    if (signal.aborted || !WarrenError.is(err, ErrorCode.DestinationUnreachable)) throw err
    const reason = `the agent of ${machine} does not answer (${failures.join('; ')})`
    throw new WarrenError(ErrorCode.DestinationUnreachable, reason, { cause: err })
  }
}
