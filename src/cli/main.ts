import { Exit } from './exit.ts'
import { report } from './output/report.ts'
import { guardOutput, leave } from './output/terminal.ts'
import { buildProgram } from './program.ts'

/**
 * Runs one command line (`argv` as in process.argv) and ends the process with 0 (done), 1 (failed) or 2 (usage).
 */
export async function main(argv: readonly string[]): Promise<never> {
  guardOutput()
  process.exitCode = Exit.Ok
  try {
    await buildProgram().parseAsync(argv)
  } catch (err) {
    process.exitCode = report(err, argv.includes('--json'))
  }
  return await leave(Number(process.exitCode))
}
