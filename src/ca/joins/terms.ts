import { z } from 'zod'
import { ErrorCode, lazy, parseNetworks, WarrenError } from '../../core/index.ts'
import { isComponent, parseMachinePattern, parseNamePattern, partOf } from '../../identity/index.ts'
import { requireScopes } from './tokens.ts'

/** What every host gets that joins by one CA or issuer. */
export const termsSchema = lazy(() =>
  z.strictObject({
    /** The machine name; `*` stands for what the pattern of the source has matched. */
    name: z.string(),
    scopes: z.array(z.string()),
    ephemeral: z.boolean(),
    needsApproval: z.boolean(),
    from: z.array(z.string())
  })
)
export type JoinTerms = Readonly<z.infer<ReturnType<typeof termsSchema>>>

/** A field of a proof, and the pattern of its text. */
export interface Source {
  readonly field: string
  readonly pattern: string
}

/** Checks terms. Throws INVALID_ARGUMENT. */
export function parseTerms(terms: JoinTerms): JoinTerms {
  requireScopes(terms.scopes)
  parseNetworks(terms.from)
  return { ...terms, name: parseMachinePattern(terms.name === '' ? '*' : terms.name, '--name') }
}

/** Reads FIELD or FIELD=PATTERN; without a pattern, the whole text counts. Throws INVALID_ARGUMENT. */
export function parseSource(text: string, option: string): Source {
  const at = text.indexOf('=')
  const field = at < 0 ? text : text.slice(0, at)
  if (!/^[A-Za-z][A-Za-z0-9_:./-]{0,127}$/.test(field)) {
    throw new WarrenError(ErrorCode.InvalidArgument, `${option} "${text.slice(0, 80)}" names no field`, {
      hint: 'Write FIELD or FIELD=PATTERN, as in dns=*.example.org.'
    })
  }
  return { field, pattern: at < 0 ? '*' : parseNamePattern(text.slice(at + 1), option) }
}

/**
 * The machine name that the texts of a field give. Throws the error that `refuse` makes, unless exactly one text matches and gives
 * a machine name.
 */
export function nameFrom(
  texts: readonly string[],
  { field, pattern }: Source,
  { name }: JoinTerms,
  refuse: (why: string) => WarrenError
): string {
  const parts = texts.flatMap(text => partOf(pattern, text) ?? [])
  if (parts.length !== 1) {
    throw refuse(`${parts.length === 0 ? 'no' : 'more than one'} ${field} in it matches ${pattern}`)
  }
  const machine = name.replace('*', () => parts[0] ?? '')
  if (isComponent(machine)) return machine
  throw refuse(`its ${field} gives the name "${machine.slice(0, 80)}", which is no machine name`)
}
