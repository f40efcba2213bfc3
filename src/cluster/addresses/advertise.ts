import { isIP, SocketAddress } from 'node:net'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { DEFAULT_LIMITS } from '../../registry/index.ts'
import { whyUnroutable } from './address-kinds.ts'

const PEER_ID_LENGTH = 52
/** What leaves room, in what other hosts take as an address, for all that a mesh address says besides the name. */
const MAX_NAME_LENGTH = DEFAULT_LIMITS.maxAddressLength - '/dns//tcp/65535/p2p/'.length - PEER_ID_LENGTH
// Underscores are in names of containers. A last part of digits alone would be a mistyped IPv4 address.
const NAME = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?!\d+$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i
const HOST_PORT = /^(?:\[[^\]]*\]|[^:]*):\d+$/

/**
 * The hosts of `--advertise`, as they are announced: each a name, or an IP address in its usual text.
 *
 * Throws INVALID_ARGUMENT for what can be no host, for one at which nobody can be reached, for one that is given twice, and for more
 * than other hosts take.
 */
export function parseAdvertise(given: readonly string[]): readonly string[] {
  const hosts = given.map(parseHost)
  const twice = hosts.find((host, at) => hosts.indexOf(host) !== at)
  if (twice !== undefined) throw refused(twice, 'is given twice', 'Give each host once; the best one first.')
  const { maxAddresses } = DEFAULT_LIMITS
  if (hosts.length > maxAddresses) {
    throw new WarrenError(ErrorCode.InvalidArgument, `--advertise is given ${hosts.length} times`, {
      hint: `Other hosts take ${maxAddresses} addresses of a host; give those that most of them reach.`
    })
  }
  return hosts
}

function parseHost(text: string): string {
  const bare = /^\[(.*)\]$/.exec(text)?.[1] ?? text
  const family = isIP(bare)
  if (family !== 0 && !bare.includes('%') && (bare === text || family === 6)) {
    const why = whyUnroutable(bare)
    if (why !== undefined) throw refused(text, why, 'Give an address at which the other hosts reach this one.')
    // One text for each address, so that none is given twice.
    return family === 4 ? bare : new SocketAddress({ address: bare, family: 'ipv6' }).address
  }
  if (text.length <= MAX_NAME_LENGTH && NAME.test(text)) return text.toLowerCase()
  if (HOST_PORT.test(text)) {
    throw refused(text, 'has a port', 'Give the host alone; the ports are those of --listen and --data-listen.')
  }
  throw refused(text, 'is no host', 'Give a name or an IP address, as in host.example.org, 192.0.2.7 or fd00::7.')
}

function refused(text: string, why: string, hint: string): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, `--advertise "${text.slice(0, 80)}" ${why}`, { hint })
}
