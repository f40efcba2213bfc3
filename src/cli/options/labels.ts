import { ErrorCode, WarrenError } from '../../core/index.ts'

/** Labels from `KEY=VALUE` texts. Throws INVALID_ARGUMENT. */
export function parseLabels(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map(text => {
      const at = text.indexOf('=')
      if (at < 1) {
        throw new WarrenError(ErrorCode.InvalidArgument, `--label "${text.slice(0, 80)}" is not KEY=VALUE`, {
          hint: 'Write it as --label version=2.'
        })
      }
      return [text.slice(0, at), text.slice(at + 1)]
    })
  )
}
