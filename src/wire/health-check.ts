import { ErrorCode, WarrenError } from '../core/index.ts'
import * as apiPb from './gen/warren/api/v1/workload_pb.js'

type Kind = 'auto' | Lowercase<Exclude<keyof typeof apiPb.HealthCheck, 'UNSPECIFIED'>>

/**
 * How an agent checks a server: `auto` lets it choose by the target, `off` switches the check off, `http:/healthz` asks for a
 * path, `grpc:my.Service` for a service.
 */
export type HealthCheckName = Kind | `http:/${string}` | `grpc:${string}`

// A record, so that the compiler misses a name that the API has. It does not touch the API: the help of a command lists the
// names, and must not wait until the descriptors of all messages are read.
const SUBJECTS: Readonly<Record<Kind, RegExp | undefined>> = {
  auto: undefined,
  off: undefined,
  connect: undefined,
  // What may stand in the first line of a request.
  http: /^\/[!-~]{0,255}$/,
  grpc: /^[A-Za-z_][\w.]{0,255}$/
}

/** The names of all health checks, for messages. */
export const HEALTH_CHECKS: readonly string[] = ['auto', 'off', 'connect', 'http', 'http:/PATH', 'grpc', 'grpc:SERVICE']

/** The fields of a registration for a name; true is `auto`, false is `off`. Throws INVALID_ARGUMENT for an unknown name. */
export function healthCheckOf(check: boolean | string): {
  readonly healthCheck: apiPb.HealthCheck
  readonly healthCheckSubject: string
} {
  const name = typeof check === 'string' ? check : check ? 'auto' : 'off'
  const parts = partsOf(name)
  if (parts !== undefined) return { healthCheck: enumOf(parts.kind), healthCheckSubject: parts.subject }
  throw new WarrenError(ErrorCode.InvalidArgument, `no health check is called "${check}"`, {
    hint: `One of ${HEALTH_CHECKS.join(', ')}.`
  })
}

/**
 * The name for the fields of a registration. A value of a newer client has no name here, and what is no subject makes none:
 * what is returned then is no health check.
 */
export function healthCheckName(value: apiPb.HealthCheck, subject: string): string {
  const kind = Object.keys(SUBJECTS).find(name => isKind(name) && enumOf(name) === value) ?? String(value)
  return subject === '' ? kind : `${kind}:${subject}`
}

/** Whether a text is the name of a health check. */
export function isHealthCheck(text: string): text is HealthCheckName {
  return partsOf(text) !== undefined
}

function partsOf(name: string): { readonly kind: Kind; readonly subject: string } | undefined {
  const [, kind = '', colon, subject = ''] = /^([a-z]+)(:)?(.*)$/s.exec(name) ?? []
  if (!isKind(kind)) return undefined
  if (colon === undefined) return subject === '' ? { kind, subject } : undefined
  return SUBJECTS[kind]?.test(subject) === true ? { kind, subject } : undefined
}

function isKind(name: string): name is Kind {
  return Object.hasOwn(SUBJECTS, name)
}

function enumOf(kind: Kind): apiPb.HealthCheck {
  return apiPb.HealthCheck[kind === 'auto' ? 'UNSPECIFIED' : (kind.toUpperCase() as Uppercase<typeof kind>)]
}
