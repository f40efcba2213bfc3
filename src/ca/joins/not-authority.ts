import { ErrorCode, WarrenError } from '../../core/index.ts'

/** The error of a host that has no authority below a trusted root. */
export function notAuthority(): WarrenError {
  return new WarrenError(ErrorCode.NotAuthority, 'this host cannot admit others', {
    hint: 'Run the command on an authority: the host that founded the trust domain, or one added by `warren authority add`.'
  })
}
