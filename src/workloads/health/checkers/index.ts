import { ErrorCode, WarrenError } from '../../../core/index.ts'
import { isHealthCheck } from '../../../wire/index.ts'
import type { CheckedServer, Checker, CheckIo, WantedTarget } from './checker.ts'
import { connect } from './connect.ts'
import { grpc } from './grpc.ts'
import { hello } from './hello.ts'
import { holder } from './holder.ts'
import { http } from './http.ts'

export type { Checker, CheckIo } from './checker.ts'

/** Every checker. Unless a registration names one, the first whose default a target is checks it. */
const CHECKERS: readonly Checker[] = [hello, holder, connect, http, grpc]

/**
 * The checker for a target; undefined if it is switched off, or if nothing can be asked there. `wanted` is `auto`, `off`, or
 * the name of a checker, with what it asks for behind a colon if that is named. Throws INVALID_ARGUMENT for a name that is unknown, or whose checker cannot check this target.
 */
export function checkerFor(target: WantedTarget, wanted: string): Checker | undefined {
  if (wanted === 'off') return undefined
  const possible = CHECKERS.filter(({ canCheck }) => canCheck(target))
  if (wanted === 'auto') return possible.find(({ isDefault }) => isDefault?.(target) ?? true)
  const [kind, ...rest] = wanted.split(':')
  const subject = rest.join(':')
  const found = possible.find(({ name, hasSubject = false }) => name === kind && (hasSubject || subject === ''))
  if (found !== undefined && isHealthCheck(wanted)) return asking(found, subject)
  const names = possible.map(({ name }) => name)
  throw new WarrenError(ErrorCode.InvalidArgument, `the health check "${wanted}" is not possible for this target`, {
    hint: `Possible: ${['auto', 'off', ...names].join(', ')}.`
  })
}

/** The same checker, which asks for `subject`. */
function asking(checker: Checker, subject: string): Checker {
  const check = (server: CheckedServer, io: CheckIo, signal: AbortSignal): Promise<void> =>
    checker.check({ ...server, subject }, io, signal)
  return { ...checker, check }
}
