import { ErrorCode, WarrenError } from '../../core/index.ts'

/** Longest pattern of names. */
export const MAX_PATTERN = 128

// Everything that a name, a DNS name, a URI or a claim may hold; `*` once.
const FORM = /^[\x21-\x29\x2b-\x7e]*\*?[\x21-\x29\x2b-\x7e]*$/
const NAME_FORM = /^(?:[A-Za-z0-9][A-Za-z0-9_-]*)?\*?[A-Za-z0-9_-]*$/

/** Returns `text` if it is a pattern: text with at most one `*`, which stands for any part. Throws INVALID_ARGUMENT. */
export function parseNamePattern(text: string, option: string): string {
  if (text !== '' && text.length <= MAX_PATTERN && FORM.test(text)) return text
  throw new WarrenError(ErrorCode.InvalidArgument, `${option} "${text.slice(0, 80)}" is not a pattern`, {
    hint: `A pattern has 1 to ${MAX_PATTERN} characters without white space, and at most one *, as in web-*.`
  })
}

/** As `parseNamePattern`, for the names of machines: no dots. Throws INVALID_ARGUMENT. */
export function parseMachinePattern(text: string, option: string): string {
  if (NAME_FORM.test(parseNamePattern(text, option))) return text
  throw new WarrenError(ErrorCode.InvalidArgument, `${option} "${text.slice(0, 80)}" is no pattern of machine names`, {
    hint: 'A machine name has letters, digits, dashes and underscores; one * stands for any part, as in web-*.'
  })
}

/** The part of `text` for which `*` stands; empty text for a pattern without `*`, and undefined if `text` does not match. */
export function partOf(pattern: string, text: string): string | undefined {
  const at = pattern.indexOf('*')
  if (at < 0) return text === pattern ? '' : undefined
  const [head, tail] = [pattern.slice(0, at), pattern.slice(at + 1)]
  if (text.length < head.length + tail.length || !text.startsWith(head) || !text.endsWith(tail)) return undefined
  return text.slice(head.length, text.length - tail.length)
}

/** Whether more than one name matches. */
export function isOpen(pattern: string): boolean {
  return pattern.includes('*')
}

/** Whether `name` matches; `*` stands for at least one character. */
export function isNamed(pattern: string, name: string): boolean {
  const part = partOf(pattern, name)
  return part !== undefined && (part !== '' || !isOpen(pattern))
}
