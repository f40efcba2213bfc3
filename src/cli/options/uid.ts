import { ErrorCode, WarrenError } from '../../core/index.ts'

/** A user of `--allow-uid`. Throws INVALID_OPTION. */
export function parseUid(text: string): number {
  const uid = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (uid < 2 ** 32 - 1) return uid
  throw new WarrenError(ErrorCode.InvalidOption, `--allow-uid "${text.slice(0, 80)}" is no uid`, {
    hint: '`id -u NAME` prints the number.'
  })
}
