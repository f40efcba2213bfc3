import { ErrorCode, WarrenError } from '../core/index.ts'
import * as apiPb from './gen/warren/api/v1/workload_pb.js'

type Named = Exclude<keyof typeof apiPb.HealthCheck, 'UNSPECIFIED'>

/** How an agent checks a server: `auto` lets it choose by the target, `off` switches the check off. */
export type HealthCheckName = 'auto' | Lowercase<Named>

const BY_NAME: ReadonlyMap<string, apiPb.HealthCheck> = new Map([
  ['auto', apiPb.HealthCheck.UNSPECIFIED],
  ...Object.entries(apiPb.HealthCheck)
    .filter((entry): entry is [Named, apiPb.HealthCheck] => typeof entry[1] === 'number' && entry[0] !== 'UNSPECIFIED')
    .map(([name, value]) => [name.toLowerCase(), value] as const)
])

/** The names of all health checks, for messages. */
export const HEALTH_CHECKS: readonly string[] = [...BY_NAME.keys()]

/** The value of the API for a name; true is `auto`, false is `off`. Throws INVALID_ARGUMENT for an unknown name. */
export function healthCheckOf(check: boolean | string): apiPb.HealthCheck {
  const value = BY_NAME.get(typeof check === 'string' ? check : check ? 'auto' : 'off')
  if (value !== undefined) return value
  throw new WarrenError(ErrorCode.InvalidArgument, `no health check is called "${check}"`, {
    hint: `One of ${HEALTH_CHECKS.join(', ')}.`
  })
}

/** The name for a value of the API. A value of a newer client has no name here: its number is returned. */
export function healthCheckName(value: apiPb.HealthCheck): string {
  for (const [name, known] of BY_NAME) if (known === value) return name
  return String(value)
}
