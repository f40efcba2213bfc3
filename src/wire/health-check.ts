import { ErrorCode, WarrenError } from '../core/index.ts'
import * as apiPb from './gen/warren/api/v1/workload_pb.js'

type Named = Exclude<keyof typeof apiPb.HealthCheck, 'UNSPECIFIED'>

/** How an agent checks a server: `auto` lets it choose by the target, `off` switches the check off. */
export type HealthCheckName = 'auto' | Lowercase<Named>

// A record, so that the compiler misses a name that the API has. It does not touch the API: the help of a command lists the
// names, and must not wait until the descriptors of all messages are read.
const NAMES: Readonly<Record<HealthCheckName, true>> = { auto: true, off: true, connect: true }

/** The names of all health checks, for messages. */
export const HEALTH_CHECKS: readonly string[] = Object.keys(NAMES)

/** The value of the API for a name; true is `auto`, false is `off`. Throws INVALID_ARGUMENT for an unknown name. */
export function healthCheckOf(check: boolean | string): apiPb.HealthCheck {
  const name = typeof check === 'string' ? check : check ? 'auto' : 'off'
  if (isName(name)) return enumOf(name)
  throw new WarrenError(ErrorCode.InvalidArgument, `no health check is called "${check}"`, {
    hint: `One of ${HEALTH_CHECKS.join(', ')}.`
  })
}

/** The name for a value of the API. A value of a newer client has no name here: its number is returned. */
export function healthCheckName(value: apiPb.HealthCheck): string {
  return HEALTH_CHECKS.find(name => isName(name) && enumOf(name) === value) ?? String(value)
}

function isName(name: string): name is HealthCheckName {
  return Object.hasOwn(NAMES, name)
}

function enumOf(name: HealthCheckName): apiPb.HealthCheck {
  return apiPb.HealthCheck[name === 'auto' ? 'UNSPECIFIED' : (name.toUpperCase() as Uppercase<typeof name>)]
}
