import type { MessageInitShape } from '@bufbuild/protobuf'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { formatAddress } from '../../identity/index.ts'
import { limitFields, type UsageLimits } from '../../policy/index.ts'
import type { apiPb } from '../../wire/index.ts'
import type { Registrant, Workload, Workloads } from '../../workloads/index.ts'

const ID_OR_BEGINNING = /^[0-9a-f]{8,64}$/
/** The number of registrations that one user may have. */
const MAX_ASKED = 1_024

/**
 * The registrations that `names` mean, of the caller's user and of nobody else; all of them if there are no names.
 *
 * A name is an id, the beginning of one, or a token. Throws NOT_FOUND for an id that is no registration of the caller's
 * user, INVALID_ARGUMENT for the beginning of several ids, and for a token the error that its use would throw.
 */
export function inspected(
  workloads: Pick<Workloads, 'ofUser' | 'claim'>,
  names: readonly string[],
  caller: Registrant
): Workload[] {
  const own = workloads.ofUser(caller)
  if (names.length === 0) return own
  if (names.length > MAX_ASKED) {
    throw new WarrenError(ErrorCode.InvalidArgument, `the request names more than ${MAX_ASKED} registrations`)
  }
  return names.map(name => (ID_OR_BEGINNING.test(name) ? byId(own, name) : workloads.claim(name, caller)))
}

function byId(own: readonly Workload[], name: string): Workload {
  const [found, another] = own.filter(({ registrationId }) => registrationId.startsWith(name))
  if (found === undefined) {
    throw new WarrenError(ErrorCode.NotFound, `no registration of yours on this host has the id ${name}`, {
      hint: '`warren inspect` shows all registrations of your user, and none of other users.'
    })
  }
  if (another !== undefined) {
    throw new WarrenError(ErrorCode.InvalidArgument, `several registrations begin with ${name}`)
  }
  return found
}

/** A registration as the local API shows it to its owner. */
export function inspection(
  { registrationId, document, address }: Workload,
  limits: UsageLimits
): MessageInitShape<typeof apiPb.InspectionSchema> {
  return {
    ...limitFields(limits),
    registrationId,
    address: formatAddress(address),
    document: {
      ...document,
      whitelist: [...document.whitelist],
      registeredAtMs: BigInt(document.registeredAtMs)
    }
  }
}
