import { hostname } from 'node:os'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { isComponent } from '../../identity/index.ts'

/** The default machine name of a host that founds a trust domain, or joins by a token for more than one name. */
export function defaultMachineName(): string {
  const short = hostname().split('.')[0] ?? ''
  if (isComponent(short)) return short
  throw new WarrenError(ErrorCode.InvalidOption, `the host name "${hostname()}" cannot be a machine name`, {
    hint: 'Give one with --name: letters, digits, dashes and underscores.'
  })
}
