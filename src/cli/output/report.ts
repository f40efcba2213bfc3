import { CommanderError } from 'commander'
import { codeOf, Exit, exitCodeOf } from '../exit.ts'
import { printable } from './printable.ts'
import { say } from './terminal.ts'

/**
 * Says on standard error why the command failed and what to do about it, and answers the exit code.
 *
 * With `json`, the same as one JSON line, still on standard error: standard output holds data only.
 */
export function report(err: unknown, json: boolean): Exit {
  if (err instanceof CommanderError) return reportUsage(err)
  const { code, reason, hint } = describe(err)
  if (json) {
    process.stderr.write(`${JSON.stringify({ error: { code, reason, hint } })}\n`)
  } else {
    say(`${code}: ${reason}`)
    if (hint !== undefined) process.stderr.write(`  ${printable(hint)}\n`)
  }
  return exitCodeOf(err)
}

/** As one clause, for a line that goes on. */
export function clause(err: unknown): string {
  const { code, reason } = describe(err)
  return `${code}: ${reason}`
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

function reportUsage(err: CommanderError): Exit {
  // Help or the version was asked for, and has been printed.
  if (err.exitCode === 0) return Exit.Ok
  // No command at all: the help that commander printed says more than a line could.
  if (err.code !== 'commander.help') {
    say(err.message.replace(/^error: /, ''))
    process.stderr.write('  Run `warren help` or `warren COMMAND --help`.\n')
  }
  return Exit.Usage
}
