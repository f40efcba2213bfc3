import { BlockList, isIP, isIPv6 } from 'node:net'
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import { detach, type Logger, loop } from '../../core/index.ts'
import { LanResponder, type LanResponderOptions } from './lan-responder.ts'

export interface LanDiscoveryOptions {
  /** The name under which the agents of a trust domain look for each other. */
  readonly serviceTag: string
  /** Our own multiaddrs, with `/p2p/`. */
  readonly addresses: () => readonly string[]
  /** Receives multiaddrs with `/p2p/`. Anybody on the local network can make this report anything. */
  readonly onFound: (multiaddrs: string[]) => void
  readonly log: Logger
}

/** How often the local network is asked, and interfaces that have come are joined. */
const INTERVAL_MS = 10_000
/** Interfaces that are spoken on; each has a socket for each family. */
const MAX_RESPONDERS = 32
const GROUP4 = '224.0.0.251'
const GROUP6 = 'ff02::fb'

/**
 * mDNS on every interface of this machine, in both families: asks for other agents, and answers those that ask.
 *
 * Each interface has a responder of its own, since a socket sends to one interface alone: that of the default route, if it is told of
 * none. The interfaces are followed; a warning is logged for each on which nothing can be sent, and if there is none.
 */
export class LanDiscovery {
  readonly #options: LanDiscoveryOptions
  readonly #responders = new Map<string, LanResponder>()
  readonly #stopping = new AbortController()
  #isMute = false

  constructor(options: LanDiscoveryOptions) {
    this.#options = options
  }

  start(): void {
    const { log } = this.#options
    const { signal } = this.#stopping
    const options = { intervalMs: () => INTERVAL_MS, immediate: true, signal }
    detach(
      log,
      'mDNS',
      loop(log, 'mDNS', options, () => this.refresh()),
      signal
    )
  }

  /** Joins interfaces that are new, leaves those that are gone, and asks on all. */
  refresh(): void {
    if (this.#stopping.signal.aborted) return
    const { serviceTag, addresses, onFound, log } = this.#options
    const wanted = placesOf(networkInterfaces())
    for (const [key, responder] of this.#responders) {
      if (wanted.has(key)) continue
      responder.close()
      this.#responders.delete(key)
    }
    for (const [key, place] of wanted) {
      if (this.#responders.has(key)) continue
      this.#responders.set(key, new LanResponder({ ...place, serviceTag, addresses, onFound, log }))
    }
    const isMute = ![...wanted.values()].some(({ isExternal }) => isExternal)
    if (isMute && !this.#isMute) log.warn('mDNS has no interface to speak on: members on the LAN are not found')
    this.#isMute = isMute
    for (const responder of this.#responders.values()) responder.ask()
  }

  stop(): void {
    this.#stopping.abort()
    for (const responder of this.#responders.values()) responder.close()
    this.#responders.clear()
  }
}

interface Place extends Pick<LanResponderOptions, 'interfaceName' | 'family' | 'group' | 'via' | 'isNeighbour'> {
  /** Whether it leads out of this machine. */
  readonly isExternal: boolean
}

/** The interfaces to speak on; loopback only if there is no other. */
function placesOf(interfaces: ReturnType<typeof networkInterfaces>): Map<string, Place> {
  const all = Object.entries(interfaces).flatMap(([name, list = []]) => placesAt(name, list))
  const external = all.filter(({ isExternal }) => isExternal)
  const chosen = (external.length > 0 ? external : all).slice(0, MAX_RESPONDERS)
  return new Map(chosen.map(place => [`${place.interfaceName} ${place.via}`, place]))
}

function placesAt(interfaceName: string, list: readonly NetworkInterfaceInfo[]): Place[] {
  const places: Place[] = []
  const isExternal = !list.some(({ internal }) => internal)
  const four = list.find(({ family }) => family === 'IPv4')
  if (four !== undefined) {
    const neighbours = new BlockList()
    for (const { cidr } of list.filter(({ family }) => family === 'IPv4')) {
      const [network = '', bits = '32'] = cidr?.split('/') ?? []
      if (isIP(network) === 4) neighbours.addSubnet(network, Number(bits), 'ipv4')
    }
    const isNeighbour = (address: string): boolean => isIP(address) === 4 && neighbours.check(address, 'ipv4')
    places.push({ interfaceName, isExternal, family: 'udp4', group: GROUP4, via: four.address, isNeighbour })
  }
  const six = list.find(({ family, address }) => family === 'IPv6' && /^fe80:/i.test(address))
  // The interfaces of containers have no other address than this one.
  const isUsed = four !== undefined || list.some(({ family, address }) => family === 'IPv6' && !/^fe80:/i.test(address))
  if (six !== undefined && isUsed) {
    const isNeighbour = (address: string): boolean => isIPv6(address) && address.endsWith(`%${interfaceName}`)
    places.push({ interfaceName, isExternal, family: 'udp6', group: GROUP6, via: `::%${interfaceName}`, isNeighbour })
  }
  return places
}
