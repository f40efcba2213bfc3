// Compares warren with programs that do part of its work, in one run on one machine: unix socket, mutual TLS 1.3 over
// loopback TCP, unix socket. The load comes from this process for all of them, and shares the machine with them.
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { type Scope, scopeOf } from '../test/harness/index.ts'
import type { Contender } from './contender.ts'
import { haproxy } from './contenders/haproxy.ts'
import { socat } from './contenders/socat.ts'
import { stunnel } from './contenders/stunnel.ts'
import { warren } from './contenders/warren.ts'
import { bulk, connections, latency, median, startTarget } from './measure.ts'

const ROUNDS = 5
const OURS = ['warren', 'warren over libp2p']

const MEASURES = [
  { name: 'bulk, one connection', unit: 'MB/s', better: 'more', run: bulk },
  { name: 'new connections', unit: '/s', better: 'more', run: connections },
  { name: '64-byte round trip, p50', unit: 'µs', better: 'less', run: latency }
] as const

const say = (line: string): boolean => process.stdout.write(`${line}\n`)

async function main(scope: Scope): Promise<void> {
  const target = join(scope.directory(), 'target')
  const server = await startTarget(target)
  scope.defer(() => server.close())
  const running: Array<{ readonly contender: Contender; readonly path: string }> = []
  for (const contender of [warren('direct'), warren('libp2p'), haproxy, stunnel, socat]) {
    const missing = contender.missing()
    if (missing === undefined) running.push({ contender, path: await contender.start(scope, target) })
    else say(`skipped: ${missing}`)
  }
  say(`Node ${process.version}, ${availableParallelism()} cores, medians of ${ROUNDS} rounds in turns`)

  for (const measure of MEASURES) {
    const results = new Map<string, number[]>()
    // The first round warms up. In turns, so that what else the machine does hits all alike.
    for (let round = 0; round <= ROUNDS; round += 1) {
      for (const { contender, path } of running) {
        const value = await measure.run(path)
        if (round > 0) results.set(contender.name, [...(results.get(contender.name) ?? []), value])
      }
    }
    report(measure, results)
  }
}

function report(measure: (typeof MEASURES)[number], results: ReadonlyMap<string, readonly number[]>): void {
  const medians = [...results].map(([name, values]) => ({ name, values, median: median(values) }))
  const others = medians.filter(({ name }) => !OURS.includes(name)).map(one => one.median)
  const best = measure.better === 'more' ? Math.max(...others) : Math.min(...others)
  say(`\n${measure.name} (${measure.unit}, ${measure.better} is better)`)
  for (const { name, values, median: value } of medians) {
    const range = `${Math.min(...values).toFixed(0)}–${Math.max(...values).toFixed(0)}`
    const ratio =
      others.length > 0 && OURS.includes(name) ? `  ${(value / best).toFixed(2)} × the best of the others` : ''
    say(`  ${name.padEnd(20)} ${value.toFixed(0).padStart(8)}  (${range})${ratio}`)
  }
}

const releases: Array<() => Promise<void> | void> = []
const scope = scopeOf({ after: release => releases.push(release as () => Promise<void>) })
try {
  await main(scope)
} finally {
  for (const release of releases) await release()
}
process.exit()
