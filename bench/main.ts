import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { buildCommit, commitOf, type Scope } from '../test/harness/index.ts'
import { catalogueSuite } from './catalogue/suite.ts'
import { clientsSuite } from './clients/suite.ts'
import { floodsSuite } from './floods/suite.ts'
import { forwardSuite } from './forward/suite.ts'
import { idleSuite } from './idle/suite.ts'
import { registrySuite } from './registry/suite.ts'
import { markdown, type Report } from './report.ts'
import { scrapeSuite } from './scrape/suite.ts'
import { startSuite } from './start/suite.ts'
import type { SuiteOptions } from './suite.ts'
import { tailsSuite } from './tails/suite.ts'
import { tcpSuite } from './tcp/suite.ts'
import { udpSuite } from './udp/suite.ts'
import { withScope } from './with-scope.ts'

const SUITES: Readonly<Record<string, (scope: Scope, options: SuiteOptions) => Promise<Report>>> = {
  tcp: tcpSuite,
  tails: tailsSuite,
  udp: udpSuite,
  forward: forwardSuite,
  clients: clientsSuite,
  floods: floodsSuite,
  idle: idleSuite,
  scrape: scrapeSuite,
  registry: registrySuite,
  start: startSuite,
  catalogue: catalogueSuite
}

interface Options {
  readonly rounds: string
  readonly only?: string
  readonly without: string[]
  readonly agents: readonly number[]
  readonly records: readonly number[]
  readonly before?: string
  readonly against?: string
  readonly newest?: string
  readonly out?: string
}

const program = new Command('bench')
  .description('Measures warren beside other programs, in turns on this machine. Tables on stdout, progress on stderr.')
  .argument('[suite...]', `of: ${Object.keys(SUITES).join(', ')}; all if none is named`)
  .addOption(new Option('--rounds <count>', 'rounds that are counted').default('5'))
  .option('--only <part>', 'only the measures with this in their name')
  .option('--without <parts...>', 'leave out contenders with one of these in their name', [])
  .option('--before <checkout>', 'tcp: another checkout, built, whose agents are measured in turn with these')
  .option('--against <commit>', 'tcp: as --before, of a commit of this repository, which is built aside')
  .option('--newest <directory>', 'tcp: also the proxies of Debian unstable, which are unpacked there if they are not')
  .addOption(new Option('--agents <counts>', 'registry: agents in the mesh').default([10, 50]).argParser(counts))
  .addOption(new Option('--records <counts>', 'registry: records').default([10_000, 100_000]).argParser(counts))
  .option('--out <directory>', 'also write the results there, as JSON and Markdown, and a plot if there is one')
  .action(run)

async function run(names: string[], options: Options): Promise<void> {
  const { rounds, only, without, agents, records, before, against, newest, out } = options
  const unknown = names.find(name => !Object.hasOwn(SUITES, name))
  if (unknown !== undefined) program.error(`there is no suite ${unknown}, but ${Object.keys(SUITES).join(', ')}`)
  if (!/^[1-9]\d{0,2}$/.test(rounds)) program.error('--rounds must be a number from 1 to 999')
  if (before !== undefined && against !== undefined)
    program.error('--before and --against are two ways to say one thing')
  const commit = against === undefined ? undefined : commitOf(against)
  if (against !== undefined && commit === undefined) program.error(`there is no commit ${against} in this repository`)
  const say = (line: string): boolean => process.stderr.write(`${line}\n`)
  for (const [name, suite] of Object.entries(SUITES)) {
    if (names.length > 0 && !names.includes(name)) continue
    const { plot, ...report } = await withScope(async scope => {
      const other = commit === undefined ? before : built(scope, commit, say)
      return await suite(scope, {
        rounds: Number(rounds),
        only,
        without,
        agents,
        records,
        say,
        ...(other !== undefined && { before: resolve(other) }),
        ...(newest !== undefined && { newest: resolve(newest) })
      })
    })
    process.stdout.write(`${markdown(report)}\n`)
    if (out === undefined) continue
    mkdirSync(out, { recursive: true })
    writeFileSync(join(out, `${name}.json`), `${JSON.stringify(report, undefined, 2)}\n`)
    writeFileSync(join(out, `${name}.md`), markdown(report))
    if (plot !== undefined) writeFileSync(join(out, `${name}.svg`), plot)
  }
}

function built(scope: Scope, commit: string, say: (line: string) => void): string {
  say(`building ${commit.slice(0, 10)}`)
  return buildCommit(scope, commit)
}

function counts(text: string): readonly number[] {
  const found = text.split(',').map(Number)
  if (found.every(count => Number.isSafeInteger(count) && count > 1)) return found
  throw new InvalidArgumentError('not a list of whole numbers above 1.')
}

await program.parseAsync()
process.exit()
