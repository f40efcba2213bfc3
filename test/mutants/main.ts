// Plants mistakes and runs the tests that are to find them: npm run test:mutants. See CONTRIBUTING.md.
import { parseArgs } from 'node:util'
import { type Fate, fateOf, faultOfTests, requireFresh, typeFaultOf } from './check.ts'
import { MUTANTS } from './list/index.ts'
import { lineOf, type Mutant } from './mutant.ts'
import { endAll } from './run-tests.ts'
import { sourceOf } from './workspace.ts'

const USAGE = `Usage: npm run test:mutants -- [options]

  --only PATTERN     those whose file or promise matches this regular expression
  --list             shows them and runs nothing
  --concurrency N    how many at once (default 2)
`

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    list: { type: 'boolean', default: false },
    concurrency: { type: 'string', default: '2' },
    help: { type: 'boolean', default: false }
  }
})

const progress = (text: string): void => void process.stderr.write(`${text}\n`)

async function eachOf<T>(items: readonly T[], limit: number, use: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items]
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await use(item)
  }
  await Promise.all(Array.from({ length: limit }, worker))
}

function where(mutant: Mutant): string {
  return `${mutant.file}:${lineOf(sourceOf(mutant.file), mutant)}`
}

function list(mutants: readonly Mutant[]): void {
  for (const mutant of mutants) {
    const { breaks, find, replace, tests } = mutant
    process.stdout.write(`${where(mutant)}: ${breaks}\n  - ${find}\n  + ${replace}\n  ${tests.join(', ')}\n`)
  }
}

function line(mutant: Mutant, fate: Fate): string {
  const said = `${where(mutant)}: ${mutant.breaks}`
  if (fate.is === 'found') return `found     ${said} (${fate.by})`
  return fate.is === 'survived' ? `SURVIVED  ${said}` : `UNUSABLE  ${said}: ${fate.why}`
}

/** Whether all were found. */
async function run(mutants: readonly Mutant[], limit: number): Promise<boolean> {
  const startMs = performance.now()
  progress(`the types of ${mutants.length} mutants`)
  const typeFault = await typeFaultOf(mutants)
  if (typeFault !== undefined) throw new Error(`a mutant is no valid TypeScript:\n${typeFault}`)
  const files = [...new Set(mutants.flatMap(({ tests }) => tests))].sort()
  await eachOf(files, limit, async file => {
    const fault = await faultOfTests(file)
    if (fault !== undefined) throw new Error(`${file} fails without any mutant, and so can find none: ${fault}`)
    progress(`${file} passes without any`)
  })
  const fates = new Map<Fate['is'], number>()
  let over = 0
  await eachOf(mutants, limit, async mutant => {
    const fate = await fateOf(mutant)
    fates.set(fate.is, (fates.get(fate.is) ?? 0) + 1)
    over += 1
    process.stdout.write(`${line(mutant, fate)}\n`)
    progress(`${over} of ${mutants.length}`)
  })
  const [found = 0, survived = 0, unusable = 0] = (['found', 'survived', 'unusable'] as const).map(is => fates.get(is))
  const took = `${Math.round((performance.now() - startMs) / 1_000)} s`
  process.stdout.write(
    `${found} of ${mutants.length} mutants found, ${survived} survived, ${unusable} unusable; ${took}\n`
  )
  return found === mutants.length
}

async function main(): Promise<number> {
  const limit = Number(values.concurrency)
  if (values.help || !Number.isSafeInteger(limit) || limit < 1) {
    process.stderr.write(USAGE)
    return values.help ? 0 : 2
  }
  const pattern = new RegExp(values.only)
  const mutants = MUTANTS.filter(({ file, breaks }) => pattern.test(file) || pattern.test(breaks))
  requireFresh(MUTANTS)
  if (mutants.length === 0) throw new Error(`no mutant matches ${values.only}`)
  if (values.list) {
    list(mutants)
    return 0
  }
  return (await run(mutants, limit)) ? 0 : 1
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    endAll()
    process.exit(1)
  })
}

try {
  process.exitCode = await main()
} catch (err) {
  process.stderr.write(`${err instanceof Error ? err.message : String(err)}\n`)
  process.exitCode = 1
}
