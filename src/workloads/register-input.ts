import type { PeerCredentials } from '../attest/index.ts'
import {
  DEFAULT_WEIGHT,
  dnsName,
  ErrorCode,
  type LimitName,
  MAX_WEIGHT,
  type Protocol,
  WarrenError,
  ZONE_LABEL
} from '../core/index.ts'

/** The process that calls, as the kernel describes it. */
export type Registrant = Omit<PeerCredentials, 'pid'>

export interface RegisterInput {
  readonly address: string
  readonly target:
    | {
        readonly kind: 'listen'
        readonly hello: boolean
        readonly protocol: Protocol
        readonly answersProbes?: boolean
        readonly proxy?: boolean
      }
    | {
        readonly kind: Protocol
        readonly address: string
        readonly proxy?: boolean
        /** A user by name or number, `any`, or nothing. @default as the registration says */
        readonly serverUser?: string
        /** A server of another host, for which the registration stands. @default false */
        readonly gateway?: boolean
      }
    | { readonly kind: 'unix'; readonly path: string; readonly proxy?: boolean }
    | undefined
  /** How the agent checks the target: `auto`, `off`, or the name of a checker. @default auto */
  readonly healthCheck?: string
  /** Connections that may be opened to it in a second. Zero: as many as the agent allows. @default 0 */
  readonly maxConnects?: number
  /** Bytes that its connections may carry in a second. Zero: no limit. @default 0 */
  readonly maxRate?: number
  readonly whitelist: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  /** Ports at which clients expect it, the usual one first. @default none */
  readonly ports?: readonly number[]
  /** Share of new connections against other instances, 0 to 1000. @default 100 */
  readonly weight?: number | undefined
  /** Each of its datagrams is sent on two paths, where there are two. @default false */
  readonly multipath?: boolean | undefined
  /** Names for its certificates. @default none */
  readonly dnsNames?: readonly string[]
  readonly ttlMs: number
  readonly ownerPid: number
  /** The identity is for every process of the user, and not only for the registered one. @default false */
  readonly forUser?: boolean
  readonly application: string
}

export const MAX_WHITELIST = 64
export const MAX_LABELS = 32
export const MAX_LABEL_LENGTH = 255
export const MAX_APPLICATION_LENGTH = 128
export const MAX_PORTS = 16
export const MAX_DNS_NAMES = 16
const MAX_PORT = 65_535
const DEFAULT_TTL_MS = 60_000
const MIN_TTL_MS = 1_000
const MAX_TTL_MS = 24 * 3_600_000

/** Throws INVALID_ARGUMENT if it is more than a registration may carry to every host. */
export function checkSize(input: RegisterInput): void {
  const { whitelist, labels, application, ports = [], dnsNames = [] } = input
  checkPorts(input)
  checkWeight(input)
  checkMultipath(input)
  const pairs = Object.entries(labels)
  const longest = Math.max(0, ...pairs.flat().map(text => text.length))
  const sizes: ReadonlyArray<readonly [size: number, max: number, limit: LimitName]> = [
    [whitelist.length, MAX_WHITELIST, 'registration_whitelist'],
    [pairs.length, MAX_LABELS, 'registration_labels'],
    [longest, MAX_LABEL_LENGTH, 'registration_label_length'],
    [ports.length, MAX_PORTS, 'registration_ports'],
    [dnsNames.length, MAX_DNS_NAMES, 'registration_dns_names'],
    [application.length, MAX_APPLICATION_LENGTH, 'registration_application_length']
  ]
  for (const [size, max, limit] of sizes) {
    if (size <= max) continue
    throw new WarrenError(
      ErrorCode.InvalidArgument,
      `a registration has at most ${MAX_WHITELIST} whitelist entries, ${MAX_LABELS} labels of ${MAX_LABEL_LENGTH} characters, ${MAX_PORTS} ports, ${MAX_DNS_NAMES} DNS names, and an application name of ${MAX_APPLICATION_LENGTH}`,
      { limit }
    )
  }
}

function checkPorts({ ports = [], target }: RegisterInput): void {
  const fault = portFault(ports, target !== undefined)
  if (fault === undefined) return
  throw new WarrenError(ErrorCode.InvalidArgument, fault, {
    hint: 'Declare the ports that clients know, such as 5432 for PostgreSQL.'
  })
}

function checkWeight({ weight, target }: RegisterInput): void {
  if (weight === undefined) return
  if (weight > MAX_WEIGHT) {
    throw new WarrenError(ErrorCode.InvalidArgument, `a weight of ${weight} is more than ${MAX_WEIGHT}`, {
      hint: `Choose from 0 to ${MAX_WEIGHT}; without one it is ${DEFAULT_WEIGHT}.`
    })
  }
  if (target === undefined) {
    throw new WarrenError(ErrorCode.InvalidArgument, 'a registration without a target has no weight', {
      hint: 'Leave the weight out, or name the server with a target.'
    })
  }
}

function checkMultipath({ multipath = false, target }: RegisterInput): void {
  const protocol = target?.kind === 'listen' ? target.protocol : target?.kind
  if (!multipath || protocol === undefined || protocol === 'udp') return
  throw new WarrenError(
    ErrorCode.InvalidArgument,
    'two paths at once are for datagrams, and the target is not one of UDP',
    {
      hint: 'Leave --multipath out, or name a UDP server with --udp.'
    }
  )
}

/** The same with the label `zone` of its host, if it is a server and says none. */
export function inZone(input: RegisterInput, zone: string | undefined): RegisterInput {
  if (zone === undefined || input.target === undefined) return input
  return { ...input, labels: { [ZONE_LABEL]: zone, ...input.labels } }
}

function portFault(ports: readonly number[], isServer: boolean): string | undefined {
  if (new Set(ports).size < ports.length) return 'a port is declared twice'
  if (ports.some(port => port < 1 || port > MAX_PORT)) return 'a declared port is not from 1 to 65535'
  return ports.length > 0 && !isServer ? 'a registration without a target has no ports' : undefined
}

/** The names for its certificates, each once and in its one form. Throws INVALID_ARGUMENT. */
export function dnsNamesOf({ dnsNames = [] }: Pick<RegisterInput, 'dnsNames'>): string[] {
  return [...new Set(dnsNames.map(dnsName))]
}

/** The time to live of a request, in milliseconds: the requested one within bounds, or a minute. */
export function ttlOf({ ttlMs }: RegisterInput): number {
  return ttlMs === 0 ? DEFAULT_TTL_MS : Math.min(MAX_TTL_MS, Math.max(MIN_TTL_MS, ttlMs))
}
