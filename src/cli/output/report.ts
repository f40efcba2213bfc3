import { CommanderError } from 'commander'
import { visibleJson } from '../../core/index.ts'
import { codeOf, Exit, exitCodeOf } from '../exit.ts'
import { printable } from './printable.ts'

export interface Failure {
  /** Text for standard error, with its line ends; empty if there is nothing to print. */
  readonly text: string
  readonly exit: Exit
}

/**
 * The message for a failed command: one line with the reason, one with the hint; with `json`, both as one JSON line.
 */
export function failureOf(err: unknown, json: boolean): Failure {
  if (err instanceof CommanderError) return usageFailure(err, json)
  // A signal ended it, and its sender knows.
  if (err instanceof DOMException && err.name === 'AbortError') return { text: '', exit: Exit.Failed }
  const { code, reason, hint } = describe(err)
  const exit = exitCodeOf(err)
  if (json) return { text: `${visibleJson(JSON.stringify({ error: { code, reason, hint } }))}\n`, exit }
  const advice = hint === undefined ? '' : `  ${printable(hint)}\n`
  return { text: `warren: ${printable(`${code}: ${reason}`)}\n${advice}`, exit }
}

/** A failure as one clause, for a longer line. */
export function clause(err: unknown): string {
  const { code, reason } = describe(err)
  return `${code}: ${reason}`
}

/** The same with what to do about it. */
export function clauseWithHint(err: unknown): string {
  const { hint } = describe(err)
  return hint === undefined ? clause(err) : `${clause(err)} (${hint.replace(/\.$/, '')})`
}

function describe(err: unknown): { code: string; reason: string; hint: string | undefined } {
  const code = codeOf(err)
  if (err instanceof Error && code !== undefined) {
    const { reason, hint } = err as Error & { reason?: unknown; hint?: unknown }
    return {
      code,
      reason: typeof reason === 'string' ? reason : err.message,
      hint: typeof hint === 'string' ? hint : undefined
    }
  }
  const errno = err instanceof Error && 'code' in err && typeof err.code === 'string' ? err.code : undefined
  const message = err instanceof Error ? err.message : String(err)
  return { code: errno ?? 'INTERNAL', reason: message === '' ? 'unknown failure' : message, hint: undefined }
}

const USAGE_HINT = 'Run `warren help` or `warren COMMAND --help`.'

function usageFailure(err: CommanderError, json: boolean): Failure {
  // Help or the version was requested, and has been printed.
  if (err.exitCode === 0) return { text: '', exit: Exit.Ok }
  // No command at all: the help that commander printed says more than a line could.
  if (err.code === 'commander.help') return { text: '', exit: Exit.Usage }
  const reason = err.message.replace(/^error: /, '').replaceAll('\n', ' ')
  const error = { code: 'USAGE', reason, hint: USAGE_HINT }
  const text = json ? `${visibleJson(JSON.stringify({ error }))}\n` : `warren: ${printable(reason)}\n  ${USAGE_HINT}\n`
  return { text, exit: Exit.Usage }
}
