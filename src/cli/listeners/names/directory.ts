import type { AgentClient } from '../../../client/index.ts'
import { apiPb } from '../../../wire/index.ts'

/** A destination that a name may lead to. */
export interface Destination {
  /** In the case in which it is registered: four components, or five where the name has the machine. */
  readonly address: string
  /** Ports that its instances declare, each once, at most 16; the usual one first. */
  readonly ports: readonly number[]
  /** Whether some instance serves TCP. */
  readonly servesTcp: boolean
}

export type Found =
  | { readonly kind: 'found'; readonly destination: Destination }
  | { readonly kind: 'unknown' }
  /** Addresses that differ in the case of their letters, which names do not tell apart. */
  | { readonly kind: 'ambiguous'; readonly addresses: readonly string[] }

type Service = Pick<apiPb.Service, 'address' | 'ports' | 'protocols'>

const EVERYTHING = '*.*.*.*'
const MAX_PORTS = 16
/** How long a list of services is used, in milliseconds: a flood of questions costs one list in this time. */
const FRESH_MS = 1_000
const LIST_MS = 5_000

/** What names can lead to: the services that the agent knows, without regard to the case of their letters. */
export class ServiceDirectory {
  readonly #client: () => AgentClient
  #list: Promise<ReadonlyMap<string, readonly Destination[]>> | undefined
  #untilMs = 0

  constructor(client: () => AgentClient) {
    this.#client = client
  }

  /** Looks up an address of four or five components in lower case. Rejects if the agent does not answer. */
  async find(lower: string): Promise<Found> {
    const found = (await this.#services()).get(lower) ?? []
    const [destination, other] = found
    if (destination === undefined) return { kind: 'unknown' }
    if (other !== undefined) return { kind: 'ambiguous', addresses: found.map(({ address }) => address) }
    return { kind: 'found', destination }
  }

  async #services(): Promise<ReadonlyMap<string, readonly Destination[]>> {
    const nowMs = performance.now()
    if (this.#list !== undefined && nowMs < this.#untilMs) return await this.#list
    const list = this.#fetch()
    this.#list = list
    this.#untilMs = nowMs + FRESH_MS
    list.catch(() => {
      if (this.#list === list) this.#list = undefined
    })
    return await list
  }

  async #fetch(): Promise<ReadonlyMap<string, readonly Destination[]>> {
    const call = { signal: AbortSignal.timeout(LIST_MS) }
    const { services } = await this.#client().workload.listServices({ pattern: EVERYTHING }, call)
    return indexOf(services)
  }
}

/** Destinations by their address in lower case. A client that serves nothing is none. */
export function indexOf(services: readonly Service[]): ReadonlyMap<string, readonly Destination[]> {
  const exact = new Map<string, { ports: Set<number>; servesTcp: boolean }>()
  for (const { address, ports, protocols } of services) {
    if (protocols.length === 0) continue
    const servesTcp = protocols.includes(apiPb.Protocol.TCP)
    for (const name of [address, address.split('.').slice(0, -1).join('.')]) {
      const known = exact.get(name) ?? { ports: new Set(), servesTcp: false }
      exact.set(name, known)
      if (!servesTcp) continue
      known.servesTcp = true
      for (const port of ports) if (known.ports.size < MAX_PORTS) known.ports.add(port)
    }
  }
  const byName = new Map<string, Destination[]>()
  for (const [address, { ports, servesTcp }] of exact) {
    const lower = address.toLowerCase()
    byName.set(lower, [...(byName.get(lower) ?? []), { address, ports: [...ports], servesTcp }])
  }
  return byName
}
