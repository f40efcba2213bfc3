import { Program, type ProgramOptions } from './program.ts'
import type { Scope } from './scope.ts'

/** Runs `argv` with a terminal of its own as standard input, output and error. What it prints is `stdout`, with the line ends of a terminal. */
export function inTerminal(scope: Scope, argv: readonly string[], options: ProgramOptions = {}): Program {
  const command = argv.map(word => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  return new Program(scope, ['script', '--quiet', '--return', '--flush', '--command', command, '/dev/null'], options)
}
