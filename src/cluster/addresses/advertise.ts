import { isIP, SocketAddress } from 'node:net'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { DEFAULT_LIMITS } from '../../registry/index.ts'
import { whyUnroutable } from './address-kinds.ts'

const PEER_ID_LENGTH = 52
/** The longest name that leaves room for the rest of a mesh address, within the limit of other hosts for an address. */
const MAX_NAME_LENGTH = DEFAULT_LIMITS.maxAddressLength - '/dns//tcp/65535/p2p/'.length - PEER_ID_LENGTH
// Names of containers have underscores. A last part of digits alone would be a mistyped IPv4 address.
const NAME = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?!\d+$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i
const HOST_PORT = /^(?:\[[^\]]*\]|[^:]*):\d+$/

/**
 * The hosts of `--advertise`, in the form in which they are announced: each a name, or an IP address in its usual text.
 *
 * Throws INVALID_ARGUMENT for a text that is not a host, for an address at which no host can be reached, for a host that is given
 * twice, and for more hosts than other hosts accept.
 */
export function parseAdvertise(given: readonly string[]): readonly string[] {
  const hosts = given.map(parseHost)
  const twice = hosts.find((host, at) => hosts.indexOf(host) !== at)
  if (twice !== undefined) throw refused(twice, 'is given twice', 'Give each host once; the best one first.')
  const { maxAddresses } = DEFAULT_LIMITS
  if (hosts.length > maxAddresses) {
    throw new WarrenError(ErrorCode.InvalidArgument, `--advertise is given ${hosts.length} times`, {
      hint: `Other hosts accept ${maxAddresses} addresses of a host; give those that most of them reach.`
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
    // Each address has one text, so that a second copy is detected.
    return family === 4 ? bare : new SocketAddress({ address: bare, family: 'ipv6' }).address
  }
  if (text.length <= MAX_NAME_LENGTH && NAME.test(text)) return text.toLowerCase()
  if (isIP(bare) === 6) {
    const hint = 'An interface of this host means nothing to others; give an address that is not link-local.'
    throw refused(text, 'has a zone', hint)
  }
  if (HOST_PORT.test(text)) {
    throw refused(text, 'has a port', 'Give the host alone; the ports are those of --listen and --data-listen.')
  }
  throw refused(text, 'is not a host', 'Give a name or an IP address, as in host.example.org, 192.0.2.7 or fd00::7.')
}

function refused(text: string, why: string, hint: string): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, `--advertise "${text.slice(0, 80)}" ${why}`, { hint })
}
