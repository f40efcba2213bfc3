import { parseDuration, WarrenError } from '../../core/index.ts'
import { type Endpoint, formatEndpoint, parseEndpoint } from '../../listeners/index.ts'
import type { DeclaredForward, DeclaredService } from '../declared.ts'
import type { Owner } from './open.ts'
import type { Fault, Place } from './place.ts'
import type { DeclaredConfig, ForwardConfig, ServiceConfig } from './schema.ts'
import type { Parsed } from './yaml.ts'

/** As of `warren forward`. */
const DEFAULTS = { keepAlive: '60s', idle: '2m', dnsIdle: '10s' } as const
const TARGETS = ['tcp', 'udp', 'unix'] as const

/** The items of one file. `services` and `forwards` are empty if there are faults. */
export interface Items {
  readonly services: readonly Placed<DeclaredService>[]
  readonly forwards: readonly Placed<DeclaredForward>[]
  readonly faults: readonly Fault[]
}

export interface Placed<T> {
  readonly item: T
  readonly at: Place
}

/** Reads the items of a file whose form is right, as its owner may declare them. */
export function itemsOf(config: DeclaredConfig, parsed: Parsed, owner: Owner): Items {
  const faults: Fault[] = []
  const each = <C extends { readonly user?: string | number | undefined }, T>(
    kind: 'services' | 'forwards',
    configs: readonly C[] | null | undefined,
    make: (config: C, common: { user: string; place: string }, fault: AddFault) => T | undefined
  ): Placed<T>[] =>
    (configs ?? []).flatMap((one, index) => {
      const path = [kind, index]
      const at = parsed.placeOf(path)
      const fault: AddFault = (key, text, hint) => {
        faults.push({ ...(key === undefined ? at : parsed.placeOfKey(path, key)), text, hint })
        return undefined
      }
      const user = userOf(one.user, owner, fault)
      const item = make(one, { user: user ?? '', place: `${at.file}:${at.line}` }, fault)
      return item === undefined || user === undefined ? [] : [{ item, at }]
    })
  const services = each('services', config.services, serviceOf)
  const forwards = each('forwards', config.forwards, forwardOf)
  return { services, forwards, faults }
}

type AddFault = (key: string | undefined, text: string, hint: string) => undefined

function userOf(user: string | number | undefined, { isRoot, uid, self }: Owner, fault: AddFault): string | undefined {
  if (isRoot) {
    if (user !== undefined) return String(user)
    return fault(undefined, 'it has no user', 'Add "user:", whose entries of the policy count, as in user: www-data.')
  }
  if (user === undefined) return String(uid)
  if (self.includes(String(user))) return String(uid)
  return fault(
    'user',
    `this file is of uid ${uid} and cannot name user ${user}`,
    'Only a file that root owns may: chown root FILE'
  )
}

function serviceOf(
  config: ServiceConfig,
  common: { readonly user: string; readonly place: string },
  fault: AddFault
): DeclaredService | undefined {
  const given = TARGETS.filter(kind => config[kind] !== undefined)
  const [kind] = given
  if (kind === undefined)
    return fault(
      undefined,
      'it has no target',
      'Say where the server listens: tcp, udp or unix, as in tcp: 127.0.0.1:8080.'
    )
  if (given.length > 1)
    return fault(given[1], `${given.join(' and ')} exclude each other`, 'Write one item for each target.')
  if (kind === 'unix' && config['server-user'] !== undefined)
    return fault('server-user', 'server-user goes with tcp and udp only', 'Remove it: user must serve a unix socket.')
  if (kind === 'udp' && config['proxy-protocol'] === true)
    return fault('proxy-protocol', 'proxy-protocol does not go with udp', 'Remove it.')
  if (config.gateway === true && kind !== 'tcp') return fault('gateway', 'gateway goes with tcp only', 'Remove it.')
  const where = config[kind] ?? ''
  return {
    ...common,
    name: `${config.address} ${kind} ${where}`,
    address: config.address,
    target: kind === 'unix' ? { kind, path: where } : { kind, address: where, gateway: config.gateway ?? false },
    serverUser: String(config['server-user'] ?? ''),
    proxyProtocol: config['proxy-protocol'] ?? false,
    healthCheck: config['health-check'] ?? 'auto',
    maxConnects: config['max-connects'] ?? 0,
    maxRate: config['max-rate'] ?? 0,
    allow: config.allow ?? [],
    labels: config.labels ?? {},
    ports: config.ports ?? [],
    weight: config.weight,
    multipath: config.multipath,
    dnsNames: config['dns-names'] ?? []
  }
}

function forwardOf(
  config: ForwardConfig,
  common: { readonly user: string; readonly place: string },
  fault: AddFault
): DeclaredForward | undefined {
  const { destination, as, udp = false, strategy = 'balanced', preset } = config
  const streamOnly = udp ? (['keepalive'] as const) : []
  const datagramOnly = udp ? [] : (['idle-timeout', 'preset'] as const)
  for (const key of [...streamOnly, ...datagramOnly]) {
    if (config[key] === undefined) continue
    return fault(key, `${key} ${udp ? 'does not go with udp' : 'needs udp: true'}`, 'Remove it.')
  }
  const listen = endpointOf(config.listen)
  const idle = config['idle-timeout'] ?? (preset === 'dns' ? DEFAULTS.dnsIdle : DEFAULTS.idle)
  return {
    ...common,
    name: `${udp ? 'udp ' : ''}${formatEndpoint(listen)}`,
    listen,
    protocol: udp ? 'udp' : 'tcp',
    destination,
    as,
    strategy,
    keepAliveMs: duration(config.keepalive ?? DEFAULTS.keepAlive),
    idleMs: duration(idle),
    oneQuestion: preset === 'dns'
  }
}

function endpointOf(text: string): Endpoint {
  return parseEndpoint('listen', text)
}

// The schema has checked its bounds.
function duration(text: string): number {
  return parseDuration('it', text === '0' ? '0s' : text, 0, Number.POSITIVE_INFINITY)
}

/** The faults of items that stand in each other's way. */
export function conflicts({ services, forwards }: Omit<Items, 'faults'>): Fault[] {
  return [
    ...repeated(services, 'service', 'Remove one of them.'),
    ...repeated(forwards, 'listener', 'Give one of them another address or port.')
  ]
}

function repeated(all: readonly Placed<{ readonly name: string }>[], what: string, hint: string): Fault[] {
  const first = new Map<string, Place>()
  return all.flatMap(({ item: { name }, at }) => {
    const before = first.get(name)
    if (before !== undefined)
      return [{ ...at, text: `the ${what} ${name} is also at ${before.file}:${before.line}`, hint }]
    first.set(name, at)
    return []
  })
}

/** The fault of an option whose text cannot be read. */
export function optionFault(parsed: Parsed, name: string, err: unknown): Fault {
  const { reason, hint = 'Correct the value.' } = WarrenError.from(err)
  return { ...parsed.placeOf([name]), text: `${name}: ${reason}`, hint }
}
