import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import type { Scope } from '../test/harness/index.ts'
import { idleSuite } from './idle/suite.ts'
import { markdown, type Report } from './report.ts'
import type { SuiteOptions } from './suite.ts'
import { tcpSuite } from './tcp/suite.ts'
import { udpSuite } from './udp/suite.ts'
import { withScope } from './with-scope.ts'

const SUITES: Readonly<Record<string, (scope: Scope, options: SuiteOptions) => Promise<Report>>> = {
  tcp: tcpSuite,
  udp: udpSuite,
  idle: idleSuite
}

interface Options {
  readonly rounds: string
  readonly only?: string
  readonly without: string[]
  readonly out?: string
}

const program = new Command('bench')
  .description('Measures warren beside other programs, in turns on this machine. Tables on stdout, progress on stderr.')
  .argument('[suite...]', `of: ${Object.keys(SUITES).join(', ')}; all if none is named`)
  .addOption(new Option('--rounds <count>', 'rounds that are counted').default('5'))
  .option('--only <part>', 'only the measures with this in their name')
  .option('--without <parts...>', 'leave out contenders with one of these in their name', [])
  .option('--out <directory>', 'also write the results there, as JSON and Markdown')
  .action(run)

async function run(names: string[], { rounds, only, without, out }: Options): Promise<void> {
  const unknown = names.find(name => !Object.hasOwn(SUITES, name))
  if (unknown !== undefined) program.error(`there is no suite ${unknown}, but ${Object.keys(SUITES).join(', ')}`)
  if (!/^[1-9]\d{0,2}$/.test(rounds)) program.error('--rounds must be a number from 1 to 999')
  const say = (line: string): boolean => process.stderr.write(`${line}\n`)
  for (const [name, suite] of Object.entries(SUITES)) {
    if (names.length > 0 && !names.includes(name)) continue
    const report = await withScope(scope => suite(scope, { rounds: Number(rounds), only, without, say }))
    process.stdout.write(`${markdown(report)}\n`)
    if (out === undefined) continue
    mkdirSync(out, { recursive: true })
    writeFileSync(join(out, `${name}.json`), `${JSON.stringify(report, undefined, 2)}\n`)
    writeFileSync(join(out, `${name}.md`), markdown(report))
  }
}

await program.parseAsync()
process.exit()
