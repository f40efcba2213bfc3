import { ErrorCode, WarrenError } from '../../core/index.ts'

/** The error for `--server-user` without a port. */
export function serverUserAlone(): WarrenError {
  return new WarrenError(ErrorCode.InvalidOption, '--server-user goes with a port only', {
    hint: 'Say which port, with --tcp or --udp. A unix socket must be served by the user who registers.'
  })
}
