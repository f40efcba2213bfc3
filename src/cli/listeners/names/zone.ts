import { ErrorCode, WarrenError } from '../../../core/index.ts'
import { destinationOf } from '../proxy/index.ts'

/** What a name of DNS stands for. */
export type ZoneName =
  /** Nothing of ours: another server knows it. */
  | { readonly kind: 'other' }
  /** A name above those of services, which has no records: somebody who asks from the top must be able to go on. */
  | { readonly kind: 'inner'; readonly why: string }
  | { readonly kind: 'malformed'; readonly why: string }
  | {
      readonly kind: 'service'
      /** An address of four or five components, in lower case. */
      readonly address: string
      /** Ports that are asked for, by a name such as `_5432._tcp.NAME`; undefined: all. */
      readonly port: number | undefined
    }

export const ZONE = 'warren'
const WHOLE = 4
const SHORT = 2
const SERVICE_LABELS = /^_([a-z0-9-]{1,15})\._(tcp|udp)\.(.+)$/
const LABEL = /^_?[a-z0-9][a-z0-9_-]*$/

/**
 * Reads a name, in whatever case: `dev.db.main.default[.MACHINE].warren`, before which `_SERVICE._tcp.` may stand; with `scope`
 * also `db.main.warren`, which means `SCOPE.db.main.default`.
 */
export function zoneName(name: string, scope: string | undefined): ZoneName {
  const lower = name.toLowerCase().replace(/\.$/, '')
  if (lower === ZONE) return { kind: 'inner', why: 'this is the top of the names of the mesh' }
  if (!lower.endsWith(`.${ZONE}`)) return { kind: 'other' }
  const [, service, protocol, owner] = SERVICE_LABELS.exec(lower) ?? []
  if (protocol === 'udp') return { kind: 'inner', why: 'names lead to TCP servers only: warren forward --udp' }
  const labels = (owner ?? lower).slice(0, -(ZONE.length + 1)).split('.')
  if (labels.length === SHORT && scope !== undefined) {
    return serviceName([scope.toLowerCase(), ...labels, 'default'], service)
  }
  if (labels.length < WHOLE && labels.every(label => LABEL.test(label))) {
    const short = scope === undefined ? '; GROUP.NAME.warren needs --scope' : ', or GROUP.NAME.warren'
    return { kind: 'inner', why: `a name of a service is SCOPE.GROUP.NAME.RESOURCE[.MACHINE].warren${short}` }
  }
  // `_tcp.NAME` is above `_SERVICE._tcp.NAME`.
  if (/^_(tcp|udp)$/.test(labels[0] ?? '')) return { kind: 'inner', why: 'it has records of services below it' }
  return serviceName(labels, service)
}

function serviceName(labels: readonly string[], service: string | undefined): ZoneName {
  try {
    const port = service !== undefined && /^\d+$/.test(service) ? Number(service) : undefined
    return { kind: 'service', address: destinationOf(`${labels.join('.')}.${ZONE}`), port }
  } catch (err) {
    if (!WarrenError.is(err, ErrorCode.InvalidArgument)) throw err
    return { kind: 'malformed', why: err.hint ?? err.reason }
  }
}
