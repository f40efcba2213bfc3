import { ErrorCode, WarrenError } from '../../../core/index.ts'

/** Every name that the proxy leads to ends so; nothing else is reached through it. */
const SUFFIX = '.warren'
const MAX_NAME = 319 + SUFFIX.length + 1
const ADDRESS = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9][A-Za-z0-9_-]{0,62}){3,4}$/

/** `GROUP.NAME`, which stands for an address where the scope is known. */
const SHORT = /^[^.]+\.[^.]+$/

/**
 * The address in a name such as `dev.web.site.default.warren`; a final dot and the case of the suffix make no difference. With a
 * scope, `web.site.warren` is `SCOPE.web.site.default`.
 *
 * Throws UNAUTHORIZED for a name of another kind, INVALID_ARGUMENT for one whose address is none.
 */
export function destinationOf(name: string, scope?: string): string {
  const shown = name.slice(0, 80)
  const absolute = name.endsWith('.') ? name.slice(0, -1) : name
  if (name.length > MAX_NAME || !absolute.toLowerCase().endsWith(SUFFIX)) {
    throw new WarrenError(ErrorCode.Unauthorized, `"${shown}" does not end in ${SUFFIX}`, {
      hint: 'This proxy leads to names of the mesh, such as dev.web.site.default.warren, and nowhere else.'
    })
  }
  const written = absolute.slice(0, -SUFFIX.length)
  const address = scope !== undefined && SHORT.test(written) ? `${scope}.${written}.default` : written
  if (!ADDRESS.test(address)) {
    throw new WarrenError(ErrorCode.InvalidArgument, `"${shown}" is no name of a service`, {
      hint: `A name is SCOPE.GROUP.NAME.RESOURCE[.MACHINE].warren, as in dev.web.site.default.warren${scope === undefined ? '' : ', or GROUP.NAME.warren'}.`
    })
  }
  return address
}

/** The host of `host:port`, also without a port. An IPv6 address keeps its brackets: it leads nowhere. */
export function hostOf(authority: string): string {
  return authority.replace(/:\d*$/, '')
}
