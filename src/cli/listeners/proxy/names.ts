import { ErrorCode, WarrenError } from '../../../core/index.ts'

/** Every name that the proxy leads to ends so; nothing else is reached through it. */
const SUFFIX = '.warren'
const MAX_NAME = 319 + SUFFIX.length + 1
const ADDRESS = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9][A-Za-z0-9_-]{0,62}){3,4}$/

/**
 * The address in a name such as `dev.web.site.default.warren`; a final dot and the case of the suffix make no difference.
 *
 * Throws UNAUTHORIZED for a name of another kind, INVALID_ARGUMENT for one whose address is none.
 */
export function destinationOf(name: string): string {
  const shown = name.slice(0, 80)
  const absolute = name.endsWith('.') ? name.slice(0, -1) : name
  if (name.length > MAX_NAME || !absolute.toLowerCase().endsWith(SUFFIX)) {
    throw new WarrenError(ErrorCode.Unauthorized, `"${shown}" does not end in ${SUFFIX}`, {
      hint: 'This proxy leads to names of the mesh, such as dev.web.site.default.warren, and nowhere else.'
    })
  }
  const address = absolute.slice(0, -SUFFIX.length)
  if (!ADDRESS.test(address)) {
    throw new WarrenError(ErrorCode.InvalidArgument, `"${shown}" is no name of a service`, {
      hint: 'A name is SCOPE.GROUP.NAME.RESOURCE[.MACHINE].warren, as in dev.web.site.default.warren.'
    })
  }
  return address
}

/** The host of `host:port`, also without a port. An IPv6 address keeps its brackets: it leads nowhere. */
export function hostOf(authority: string): string {
  return authority.replace(/:\d*$/, '')
}
