import { ErrorCode, type Protocol, WarrenError } from '../../core/index.ts'
import { type Pattern, parsePattern } from '../../identity/index.ts'

/** The connections of an assertion. */
export interface AssertionPairs {
  readonly source: Pattern
  readonly destination: Pattern
  /** Empty: every protocol. */
  readonly protocols: readonly Protocol[]
}

const FORM = /^(\S+)\s+(?:->|\u2192)\s+(\S+?)(?:\s+(tcp|udp))?$/

/** Reads `SOURCE -> DESTINATION`, if necessary followed by a protocol. Throws INVALID_ARGUMENT. */
export function parseAssertion(text: string): AssertionPairs {
  const [, source, destination, protocol] = FORM.exec(text.trim()) ?? []
  if (source === undefined || destination === undefined) {
    throw new WarrenError(ErrorCode.InvalidArgument, `"${text.slice(0, 80)}" is not SOURCE -> DESTINATION`, {
      hint: 'As in "dev.web.*.* -> dev.db.*.*: allowed"; "tcp" or "udp" may follow the destination.'
    })
  }
  return {
    source: parsePattern(source),
    destination: parsePattern(destination),
    protocols: protocol === 'tcp' || protocol === 'udp' ? [protocol] : []
  }
}
