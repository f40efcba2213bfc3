import type { LostHost, Route, Routing } from '../../cluster/index.ts'
import { ErrorCode, type Protocol, WarrenError } from '../../core/index.ts'
import { type Address, formatAddress, matches, type Pattern, type PeerKey } from '../../identity/index.ts'
import { tierOf } from '../../proxy/index.ts'
import { apiPb, create } from '../../wire/index.ts'

/** A registration as the local API shows it to everybody. */
export type ServiceFields = Omit<apiPb.Service, '$typeName' | '$unknown'>

/** Wall time since which a host is suspected. */
export type SuspectedSince = (peer: PeerKey) => number | undefined

export interface ServiceListDeps {
  readonly routing: Pick<Routing, 'matching'>
  readonly suspectedSince: SuspectedSince
  /** Why a registration of this host does not serve. */
  readonly problemOf: (registrationId: string) => string | undefined
  /** Zone of this host. */
  readonly zone: string | undefined
  readonly lost: { readonly all: () => readonly LostHost[] }
  /** Resolves at the next change of the registry: the same promise until then. */
  readonly changed: () => Promise<void>
}

/** Which registrations are wanted. */
export interface ServiceFilter {
  readonly pattern: Pattern | undefined
  /** Labels that they all have; an empty value stands for any. */
  readonly labels: Readonly<Record<string, string>>
  /** Empty: of all machines. */
  readonly machine: string
}

export interface ServicePage {
  readonly services: ServiceFields[]
  /** Empty: there are no more. */
  readonly nextPageToken: string
  /** On all pages. */
  readonly total: number
}

/** Registrations of one page, at most. */
export const MAX_PAGE = 10_000
const TOKEN = /^([^: ]{1,2048}):([0-9a-f]{64})$/

interface Named {
  readonly name: string
  readonly route: Route
}

/** The registrations of all hosts, as the local API lists them. */
export class ServiceList {
  readonly #deps: ServiceListDeps
  #last: { readonly key: string; readonly change: Promise<void>; readonly sorted: readonly Named[] } | undefined

  constructor(deps: ServiceListDeps) {
    this.#deps = deps
  }

  /** All that match, clients among them, sorted by address. */
  all(filter: ServiceFilter): ServiceFields[] {
    return this.#sorted(filter).map(({ name, route }) => serviceView(name, route, this.#deps))
  }

  /**
   * As `all`, as messages. Those in `kept` are used again while nothing about them has changed: of a large mesh, nearly all between
   * one change and the next.
   */
  messages(filter: ServiceFilter, kept: WeakMap<Address, apiPb.Service>): apiPb.Service[] {
    return this.#sorted(filter).map(({ name, route }) => {
      // What is shown of these does not come from their records alone.
      if (route.local || route.suspect || route.draining)
        return create(apiPb.ServiceSchema, serviceView(name, route, this.#deps))
      // The record of a registration is another object as soon as anything in it is another.
      const found = kept.get(route.address) ?? create(apiPb.ServiceSchema, serviceView(name, route, this.#deps))
      kept.set(route.address, found)
      return found
    })
  }

  /** Those after the ones of a former page. Throws INVALID_ARGUMENT for a token that is none. */
  page(filter: ServiceFilter, size: number, token: string): ServicePage {
    const sorted = this.#sortedForPages(filter)
    const from = token === '' ? 0 : firstAfter(sorted, token)
    const page = sorted.slice(from, from + Math.min(size, MAX_PAGE))
    const last = page.at(-1)
    const isLast = last === undefined || from + page.length === sorted.length
    return {
      services: page.map(({ name, route }) => serviceView(name, route, this.#deps)),
      nextPageToken: isLast ? '' : `${last.name}:${last.route.registrationId}`,
      total: sorted.length
    }
  }

  /** What lost hosts served, newest loss first. */
  lost({ pattern, labels, machine }: ServiceFilter): ServiceFields[] {
    return this.#deps.lost.all().flatMap(({ sinceMs, reason, last, served }) =>
      served
        .filter(({ address }) => pattern === undefined || matches(pattern, address))
        .filter(record => hasLabels(record.labels, labels) && (machine === '' || machine === last.machine))
        .map(record => ({
          ...announced(formatAddress(record.address), record),
          health: record.health,
          tier: '',
          machine: last.machine,
          local: false,
          suspect: false,
          suspectSinceMs: 0n,
          problem: '',
          lostSinceMs: BigInt(sinceMs),
          lostReason: reason
        }))
    )
  }

  // Most pages follow one another, and to sort a large mesh costs more than a page.
  #sortedForPages(filter: ServiceFilter): readonly Named[] {
    const key = JSON.stringify([filter.pattern?.text, filter.labels, filter.machine])
    const change = this.#deps.changed()
    if (this.#last?.key !== key || this.#last.change !== change) {
      this.#last = { key, change, sorted: this.#sorted(filter) }
    }
    return this.#last.sorted
  }

  #sorted({ pattern, labels, machine }: ServiceFilter): Named[] {
    return this.#deps.routing
      .matching(pattern)
      .filter(route => (machine === '' || route.machine === machine) && hasLabels(route.labels, labels))
      .map(route => ({ name: formatAddress(route.address), route }))
      .sort((a, b) => compare(a.name, b.name) || compare(a.route.registrationId, b.route.registrationId))
  }
}

/** One registration. */
export function serviceView(
  name: string,
  route: Route,
  { suspectedSince, problemOf, zone }: Pick<ServiceListDeps, 'suspectedSince' | 'problemOf' | 'zone'>
): ServiceFields {
  return {
    ...announced(name, route),
    health: route.draining ? 'draining' : route.health,
    tier: tierOf(route, zone),
    machine: route.machine,
    local: route.local,
    suspect: route.suspect,
    suspectSinceMs: BigInt((route.suspect ? suspectedSince(route.peer) : undefined) ?? 0),
    problem: (route.local ? problemOf(route.registrationId) : undefined) ?? '',
    lostSinceMs: 0n,
    lostReason: ''
  }
}

type Announced = Pick<
  Route,
  'spiffeId' | 'registrationId' | 'protocols' | 'labels' | 'ports' | 'weight' | 'registeredAtMs'
>

function announced(address: string, record: Announced) {
  return {
    address,
    spiffeId: record.spiffeId,
    registrationId: record.registrationId,
    protocols: record.protocols.map(toProtocol),
    labels: { ...record.labels },
    ports: [...record.ports],
    weight: record.weight,
    registeredAtMs: BigInt(record.registeredAtMs)
  }
}

function hasLabels(labels: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(
    ([name, value]) => Object.hasOwn(labels, name) && (value === '' || labels[name] === value)
  )
}

function firstAfter(sorted: readonly Named[], token: string): number {
  const [, name = '', id = ''] = TOKEN.exec(token) ?? []
  if (name === '') {
    throw new WarrenError(ErrorCode.InvalidArgument, `"${token.slice(0, 80)}" is no end of a page`, {
      hint: 'Give what the page before ends with, as it is, or leave it out for the first page.'
    })
  }
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const one = sorted[middle]
    if (one !== undefined && (compare(one.name, name) || compare(one.route.registrationId, id)) <= 0) low = middle + 1
    else high = middle
  }
  return low
}

function toProtocol(protocol: Protocol): apiPb.Protocol {
  return protocol === 'udp' ? apiPb.Protocol.UDP : apiPb.Protocol.TCP
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
