import { userInfo } from 'node:os'
import { ErrorCode, WarrenError } from '../core/index.ts'

const LITERAL = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/

/**
 * The address as which this user connects to `destination` by default: `<scope of the destination>.user.<user
 * name>.default`.
 *
 * Throws INVALID_ARGUMENT if the scope of the destination is not one name: then the scope of the source is unknown.
 */
export function defaultSource(destination: string, userName: string = ownName()): string {
  const scope = destination.split('.', 1)[0] ?? ''
  if (!LITERAL.test(scope)) {
    throw new WarrenError(ErrorCode.InvalidArgument, `the scope of "${destination.slice(0, 80)}" is not one name`, {
      hint: 'Give the address to connect as, for example { as: "dev.shop.cart.default" } or --as.'
    })
  }
  return `${scope}.user.${componentOf(userName)}.default`
}

/** Returns `name` with dashes in place of characters that an address component cannot hold. */
function componentOf(name: string): string {
  const safe = name.replace(/[^A-Za-z0-9_-]/g, '-').replace(/^[_-]+/, '')
  return safe === '' ? `uid-${process.getuid?.() ?? 0}` : safe.slice(0, 63)
}

function ownName(): string {
  try {
    return userInfo().username
  } catch {
    // The uid has no entry in the user database, as in many containers.
    return ''
  }
}
