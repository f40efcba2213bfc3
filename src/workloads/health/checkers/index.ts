import { ErrorCode, WarrenError } from '../../../core/index.ts'
import type { Checker, WantedTarget } from './checker.ts'
import { connect } from './connect.ts'
import { hello } from './hello.ts'
import { holder } from './holder.ts'

export type { Checker, CheckIo } from './checker.ts'

/** Every checker. Unless a registration names one, the first whose default a target is checks it. */
const CHECKERS: readonly Checker[] = [hello, holder, connect]

/**
 * The checker for a target; undefined if it is switched off, or if nothing can be asked there. `wanted` is `auto`, `off`, or
 * the name of a checker. Throws INVALID_ARGUMENT for a name that is unknown, or whose checker cannot check this target.
 */
export function checkerFor(target: WantedTarget, wanted: string): Checker | undefined {
  if (wanted === 'off') return undefined
  const possible = CHECKERS.filter(({ canCheck }) => canCheck(target))
  if (wanted === 'auto') return possible.find(({ isDefault }) => isDefault?.(target) ?? true)
  const found = possible.find(({ name }) => name === wanted)
  if (found !== undefined) return found
  const names = possible.map(({ name }) => name)
  throw new WarrenError(ErrorCode.InvalidArgument, `the health check "${wanted}" is not possible for this target`, {
    hint: `Possible: ${['auto', 'off', ...names].join(', ')}.`
  })
}
