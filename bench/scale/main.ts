// The scale model: npm run scale -- --hosts 10,100,1000,4000. See docs/performance/scale.md.
import { parseArgs } from 'node:util'
import { leaveForOwnLoopback } from '../registry/own-loopback.ts'
import { withScope } from '../with-scope.ts'
import { compare } from './calibration.ts'
import { type ModelOptions, model, type Row } from './model.ts'
import { measureReal } from './real.ts'

const USAGE = `Usage: npm run scale -- [options]

  --hosts N,N…      sizes of the mesh                                    (default 10,100,1000,4000)
  --seed N          chance                                               (default 1)
  --latency-ms N    one way between two hosts, on average                (default 2)
  --loss N          share of gossip messages that are lost               (default 0.001)
  --changes N       changes of each host in an hour, for the churn       (default 6)
  --real N,N…       starts so many agents too, and prints the model beside them; needs root, ip and ss of iproute2.
                    Run npm run build first, or the agents are those of the last build
  --json            prints one JSON object for each size
`

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '10,100,1000,4000' },
    seed: { type: 'string', default: '1' },
    'latency-ms': { type: 'string', default: '2' },
    loss: { type: 'string', default: '0.001' },
    changes: { type: 'string', default: '6' },
    real: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false }
  }
})

function numberIn(name: 'seed' | 'latency-ms' | 'loss' | 'changes', most: number): number {
  const number = Number(values[name])
  if (number >= 0 && number <= most) return number
  process.stderr.write(`--${name} must be a number from 0 to ${most}\n`)
  process.exit(2)
}

const ms = (value: number): string => (Number.isFinite(value) ? `${Math.round(value)} ms` : 'never')
const kilo = (bytes: number): string => `${(bytes / 1_000).toFixed(1)} KB`

/** Each line of the table, by its title. */
const LINES: ReadonlyArray<readonly [string, (row: Row) => string]> = [
  ['connections of a host: mean, most', ({ connections: { mean, max } }) => `${mean.toFixed(1)}, ${max}`],
  ['a change is with half, with all', ({ change }) => `${ms(change.p50Ms)}, ${ms(change.allMs)}`],
  ['copies of it that a host receives', ({ change }) => change.copies.toFixed(1)],
  ['--wait all: until it is known', ({ waitAll }) => ms(waitAll.ms)],
  ['--wait all: bytes, messages at the owner', ({ waitAll }) => `${kilo(waitAll.bytes)}, ${waitAll.messages}`],
  ['--wait all: most bytes at another host', ({ waitAll }) => kilo(waitAll.worstCarriedBytes)],
  ['a policy of 8 KB: with all, bytes of a host', ({ policy }) => `${ms(policy.allMs)}, ${kilo(policy.bytesPerHost)}`],
  [
    'a crashed host is hidden by 99 %; reached',
    ({ crash }) => `${ms(crash.p99Ms)}; ${(100 * crash.reached).toFixed(1)} %`
  ],
  [
    'a vanished host is hidden by 99 %; reached',
    ({ vanished }) => `${ms(vanished.p99Ms)}; ${(100 * vanished.reached).toFixed(1)} %`
  ],
  ['two halves: all have all changes, suspect nobody', ({ heal }) => `${ms(heal.changesMs)}, ${ms(heal.answersMs)}`],
  ['idle, bytes a second: renewals', row => kilo(row.idleBytesPerSecond.refreshes)],
  ['idle, bytes a second: synchronisation', row => kilo(row.idleBytesPerSecond.sync)],
  ['idle, bytes a second: all, with signs of life', row => kilo(row.idleBytesPerSecond.all)],
  ['a renewal is with all', ({ renewalMs }) => (renewalMs === undefined ? 'at once' : ms(renewalMs))],
  ['churn, bytes a second more', row => kilo(row.churnBytesPerSecond)],
  ['time for this column', ({ tookMs }) => `${(tookMs / 1_000).toFixed(1)} s`]
]

async function main(): Promise<void> {
  if (values.help) {
    process.stdout.write(USAGE)
    return
  }
  const sizes = sizesIn('hosts', values.hosts, 2, 20_000)
  const options = {
    seed: numberIn('seed', 2 ** 32),
    latencyMs: numberIn('latency-ms', 1_000),
    loss: numberIn('loss', 0.5),
    changesPerHour: numberIn('changes', 3_600)
  }
  if (values.real !== undefined) {
    await calibrate(sizesIn('real', values.real, 3, 200), options)
    return
  }
  const rows = sizes.map(hosts => model({ hosts, ...options }))
  if (values.json) {
    for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`)
    return
  }
  const cells = [
    ['hosts', ...rows.map(({ hosts }) => String(hosts))],
    ...LINES.map(([title, of]) => [title, ...rows.map(of)])
  ]
  writeTable(cells)
}

function sizesIn(name: string, text: string, least: number, most: number): readonly number[] {
  const sizes = text.split(',').map(Number)
  if (sizes.every(size => Number.isSafeInteger(size) && size >= least && size <= most)) return sizes
  process.stderr.write(`--${name} must be numbers from ${least} to ${most}, with commas between them\n`)
  process.exit(2)
}

async function calibrate(sizes: readonly number[], options: Omit<ModelOptions, 'hosts'>): Promise<void> {
  if (process.getuid?.() !== 0) {
    process.stderr.write('--real needs root: the agents get a network of their own\n')
    process.exit(2)
  }
  leaveForOwnLoopback()
  for (const hosts of sizes) {
    const row = model({ hosts, ...options })
    const real = await withScope(scope => measureReal(scope, hosts, line => process.stderr.write(`${line}\n`)))
    if (values.json) process.stdout.write(`${JSON.stringify({ hosts, model: row, real })}\n`)
    else writeTable([[`${hosts} hosts`, 'model', 'real', 'model / real', ''], ...compare(row, real)])
  }
}

function writeTable(cells: ReadonlyArray<readonly string[]>): void {
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map(line => line[column]?.length ?? 0)))
  for (const line of cells) {
    process.stdout.write(
      `${line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ')}\n`
    )
  }
}

await main()
