import { guardOutput } from '../../src/cli/output/index.ts'
import { buildProgram } from '../../src/cli/program.ts'

// Runs the command lines of its argument, a list in JSON, in one process, each below a line with its number: one process for each
// would take longer than what it does. With `together` as a second argument all run at once, and the lines are left out.

guardOutput()
const lines = JSON.parse(process.argv[2] ?? '[]') as string[][]
const run = async (args: readonly string[]): Promise<void> => {
  await buildProgram().parseAsync(['node', 'warren', ...args])
}
if (process.argv[3] === 'together') await Promise.all(lines.map(run))
else {
  for (const [at, args] of lines.entries()) {
    process.stdout.write(`== ${at}\n`)
    await run(args)
  }
}
process.stdout.write('', () => process.exit())
