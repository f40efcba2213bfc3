import { Exit } from './exit.ts'
import { failureOf, guardOutput, leave, sayRaw } from './output/index.ts'
import { buildProgram } from './program.ts'
import { honourNohup } from './signals.ts'

/**
 * Runs one command line (`argv` as in process.argv) and ends the process with 0 (done), 1 (failed) or 2 (usage).
 */
export async function main(argv: readonly string[]): Promise<never> {
  honourNohup()
  guardOutput()
  process.exitCode = Exit.Ok
  try {
    await buildProgram(argv[2]).parseAsync(argv)
  } catch (err) {
    const { text, exit } = failureOf(err, argv.includes('--json'))
    sayRaw(text)
    process.exitCode = exit
  }
  return await leave(Number(process.exitCode))
}
