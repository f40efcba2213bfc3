import { ErrorCode, WarrenError } from '../../core/index.ts'

/** A refusal by policy names neither who asked nor what can be done: the person may never have chosen a source. */
export function withNextStep(err: unknown, source: string, destination: string): unknown {
  if (!WarrenError.is(err, ErrorCode.Unauthorized) || err.hint !== undefined) return err
  const pair = [source, destination].map(text => (/[*{]/.test(text) ? `'${text}'` : text)).join(' ')
  // Where a rule decided, another one would not help.
  const allow = err.reason.startsWith('rule ') ? '' : `; a rule, on the host that sets policy: warren allow ${pair}`
  const hint = `Each check: warren explain ${pair}${allow}`
  return new WarrenError(err.code, err.reason, { hint, cause: err })
}
