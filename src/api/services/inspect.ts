import type { MessageInitShape } from '@bufbuild/protobuf'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { formatAddress } from '../../identity/index.ts'
import type { apiPb } from '../../wire/index.ts'
import type { Registrant, Workload, Workloads } from '../../workloads/index.ts'

const ID_OR_BEGINNING = /^[0-9a-f]{8,64}$/
/** As many as one user may have registrations. */
const MAX_ASKED = 1_024

/**
 * The registrations that `names` mean, of the caller's user and of nobody else; all of them if there are no names.
 *
 * A name is an id, the beginning of one, or a token. Throws NOT_FOUND for an id that is no registration of the caller's
 * user, whoever else's it may be, INVALID_ARGUMENT for one that begins several, and for a token what its use would throw.
 */
export function inspected(
  workloads: Pick<Workloads, 'ofUser' | 'claim'>,
  names: readonly string[],
  caller: Registrant
): Workload[] {
  const own = workloads.ofUser(caller)
  if (names.length === 0) return own
  if (names.length > MAX_ASKED) {
    throw new WarrenError(ErrorCode.InvalidArgument, `more than ${MAX_ASKED} registrations are asked for`)
  }
  return names.map(name => (ID_OR_BEGINNING.test(name) ? byId(own, name) : workloads.claim(name, caller)))
}

function byId(own: readonly Workload[], name: string): Workload {
  const [found, another] = own.filter(({ registrationId }) => registrationId.startsWith(name))
  if (found === undefined) {
    throw new WarrenError(ErrorCode.NotFound, `no registration of yours on this host has the id ${name}`, {
      hint: '`warren inspect` shows all of your user; of another user nothing is shown.'
    })
  }
  if (another !== undefined) {
    throw new WarrenError(ErrorCode.InvalidArgument, `several registrations begin with ${name}`)
  }
  return found
}

/** A registration as the local API shows it to its owner. */
export function inspection({
  registrationId,
  document,
  address
}: Workload): MessageInitShape<typeof apiPb.InspectionSchema> {
  return {
    registrationId,
    address: formatAddress(address),
    document: {
      ...document,
      whitelist: [...document.whitelist],
      registeredAtMs: BigInt(document.registeredAtMs)
    }
  }
}
