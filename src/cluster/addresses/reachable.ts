import { isIP } from 'node:net'
import type { networkInterfaces } from 'node:os'
import { isLinkLocal } from './address-kinds.ts'

export type Interfaces = ReturnType<typeof networkInterfaces>

/** The hosts that are announced, best first, and those for which there was no room. */
export interface Choice {
  readonly hosts: readonly string[]
  readonly leftOut: readonly string[]
}

interface RankedAddress {
  readonly address: string
  readonly family: 'IPv4' | 'IPv6'
  readonly interface: string
  readonly rank: number
  /** The number of addresses of the same interface and family before it. */
  readonly turn: number
}

/** Networks that exist inside this host alone: of containers and virtual machines. Other hosts usually cannot reach them. */
const INTERNAL =
  /^(docker|br-|veth|virbr|vnet|cni|flannel|cali|cilium|weave|kube|nodelocaldns|podman|lxc|lxd|incus|nerdctl|vmnet|vboxnet|bridge1\d\d$)/
/** Reachable from hosts that have joined the same tunnel. */
const TUNNEL = /^(tun|tap|wg|tailscale|zt|utun|ppp|ipsec|vti|gre)/

const RANK = Object.freeze({ lan: 0, tunnel: 1, internal: 2, linkLocal: 3 })

/**
 * The hosts at which others reach a listener of this host: its address, or for a wildcard the addresses of the interfaces, of
 * which at most `max` are chosen. `::` stands for both families.
 *
 * Those of the LAN come before those of tunnels, and these before networks inside the host, such as docker0. The first address of
 * each interface comes before the second of any, and each family has at least one. Loopback is used only if there is no other
 * address. IPv6 link-local never is, since it is not usable without an interface.
 *
 * The order depends on the addresses and on `previous`, the last choice: an interface that appears or disappears does not change
 * the order of the others.
 */
export function chooseHosts(
  bound: string,
  interfaces: Interfaces,
  max: number,
  previous: readonly string[] = []
): Choice {
  if (bound !== '0.0.0.0' && bound !== '::') return { hosts: [bound], leftOut: [] }
  const families = bound === '0.0.0.0' ? ['IPv4'] : ['IPv4', 'IPv6']
  const usable = Object.entries(interfaces).flatMap(([name, list = []]) =>
    list
      .filter(({ family, address }) => families.includes(family) && isUsable(family, address))
      .map(entry => ({ ...entry, name }))
  )
  const external = usable.filter(({ internal }) => !internal)
  const candidates = inTurns(external.length > 0 ? external : usable, previous).sort(byWorth)
  const firstAt = new Map(candidates.map(({ address }, at) => [address, at] as const).toReversed())
  const unique = candidates.filter(({ address }, at) => firstAt.get(address) === at)
  const chosen = unique.slice(0, max)
  for (const family of ['IPv4', 'IPv6'] as const) {
    const best = unique.find(one => one.family === family)
    const isMissing = best !== undefined && !chosen.some(one => one.family === family)
    if (isMissing && max > 1) chosen.splice(-1, 1, best)
  }
  const addresses = new Set(chosen.map(({ address }) => address))
  return {
    hosts: [...addresses],
    leftOut: unique.filter(({ address }) => !addresses.has(address)).map(({ address }) => address)
  }
}

/** The addresses of this host on networks that others are on too. */
export function outsideAddresses(interfaces: Interfaces): string[] {
  return Object.entries(interfaces).flatMap(([name, list = []]) =>
    list
      .filter(({ family, address, internal }) => !internal && isUsable(family, address))
      .filter(({ address }) => rankOf(name, address) <= RANK.tunnel)
      .map(({ address }) => address)
  )
}

function isUsable(family: string, address: string): boolean {
  return isIP(address) !== 0 && !(family === 'IPv6' && isLinkLocal(address))
}

interface Entry {
  readonly name: string
  readonly address: string
  readonly family: 'IPv4' | 'IPv6'
}

// An announced address keeps its place before newer ones, in whatever order the system lists them.
function inTurns(entries: readonly Entry[], previous: readonly string[]): RankedAddress[] {
  const place = new Map(previous.map((address, at) => [address, at]))
  const seenOf = new Map<string, number>()
  const placeOf = ({ address }: Entry): number => place.get(address) ?? previous.length
  return [...entries]
    .sort((a, b) => placeOf(a) - placeOf(b))
    .map(({ name, address, family }) => {
      const key = `${name} ${family}`
      const turn = seenOf.get(key) ?? 0
      seenOf.set(key, turn + 1)
      return { address, family, interface: name, rank: rankOf(name, address), turn }
    })
}

function rankOf(name: string, address: string): number {
  if (isLinkLocal(address)) return RANK.linkLocal
  if (INTERNAL.test(name)) return RANK.internal
  return TUNNEL.test(name) ? RANK.tunnel : RANK.lan
}

function byWorth(a: RankedAddress, b: RankedAddress): number {
  return (
    a.rank - b.rank ||
    a.turn - b.turn ||
    a.family.localeCompare(b.family) ||
    a.interface.localeCompare(b.interface, 'en', { numeric: true })
  )
}
