/**
 * The fields of a request for the addresses that an entry grants, with the selectors that older agents do not know.
 *
 * With one of these, the pattern is where such an agent does not look: it must refuse the entry, and not take it without them.
 */
export function grantsFields(
  pattern: string,
  later: Readonly<Record<string, string>>
): { readonly grants: string; readonly narrowGrants: string } {
  const isNarrow = Object.values(later).some(text => text !== '')
  return isNarrow ? { grants: '', narrowGrants: pattern } : { grants: pattern, narrowGrants: '' }
}
