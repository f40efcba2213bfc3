import { isIP } from 'node:net'
import { parseHostPort } from '../../core/index.ts'

/** One path of TCP to an agent: an address that it announces, and where this host binds the connection. */
export interface AddressPath {
  readonly address: string
  /** @default the address that the kernel chooses */
  readonly localAddress?: string
}

/** A path at which an agent does not answer now, with the address of this host that it has begun at. */
export interface SilentPath {
  readonly address: string
  readonly localAddress: string
}

/** Maximum of paths to one agent that are tried: as many as the addresses that it announces. */
const MAX_PATHS = 16

/**
 * The paths to try for an agent, in their order. `silent` are those that went silent of late, the latest last.
 *
 * The kernel chooses where a connection begins, unless a path is silent: then other addresses of this host are tried too, which
 * lead over another link where routes depend on the source. Of the silent paths the latest is tried last.
 */
export function pathsTo(
  addresses: readonly string[],
  silent: readonly SilentPath[],
  localAddresses: () => readonly string[]
): AddressPath[] {
  const announced = addresses.slice(0, MAX_PATHS)
  const late = [...new Set(silent.map(({ address }) => address))].filter(address => announced.includes(address))
  const last = late.at(-1)
  if (last === undefined) return announced.map(address => ({ address }))
  const others = [...announced.filter(address => !late.includes(address)), ...late.slice(0, -1)]
  const locals = localAddresses()
  const bound = [last, ...others].flatMap(address =>
    locals
      .filter(local => isIP(local) === familyOf(address) && !isSilent(address, local, silent))
      .map(localAddress => ({ address, localAddress }))
  )
  return [...[...others.map(address => ({ address })), ...bound].slice(0, MAX_PATHS - 1), { address: last }]
}

/**
 * The same paths with `good`, that led to the agent last, before the others. One that is bound and not among them, since no path is
 * silent any more, comes last: the other link may still be dead.
 */
export function goodFirst(
  paths: readonly AddressPath[],
  good: AddressPath | undefined,
  addresses: readonly string[],
  localAddresses: () => readonly string[]
): readonly AddressPath[] {
  if (good === undefined) return paths
  const isGood = (path: AddressPath): boolean => isSamePath(path, good)
  if (paths.some(isGood)) return [good, ...paths.filter(path => !isGood(path))]
  const { address, localAddress } = good
  const isThere = localAddress !== undefined && localAddresses().includes(localAddress)
  return isThere && addresses.includes(address) ? [...paths, good] : paths
}

export function isSamePath(one: AddressPath, other: AddressPath): boolean {
  return one.address === other.address && one.localAddress === other.localAddress
}

function isSilent(address: string, local: string, silent: readonly SilentPath[]): boolean {
  return silent.some(path => path.address === address && path.localAddress === local)
}

/** Zero for a name, whose addresses are not known here, and for what is no address. */
function familyOf(address: string): number {
  try {
    return isIP(parseHostPort(address).host)
  } catch {
    return 0
  }
}
