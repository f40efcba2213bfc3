import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import test from 'node:test'
import { promisify } from 'node:util'
import { weighYoung } from '../../src/client/young-weight.ts'

const FILE = join(import.meta.dirname, '../../src/client/young-weight.ts')

/** Makes and drops 200 MB in pieces as Node reads them, and prints how often V8 collected the young generation meanwhile. */
const READER = (call: string): string => `
  import { constants, PerformanceObserver } from 'node:perf_hooks'
  import { setImmediate as turn } from 'node:timers/promises'
  import { weighYoung } from ${JSON.stringify(FILE)}
  let collected = 0
  const isMinor = ({ detail }) => detail.kind === constants.NODE_PERFORMANCE_GC_MINOR
  const observer = new PerformanceObserver(list => { collected += list.getEntries().filter(isMinor).length })
  observer.observe({ type: 'gc' })
  let last
  for (let reads = 0; reads < 3200; reads += 1) {
    last = Buffer.allocUnsafeSlow(65_536)
    ${call}
    if (reads % 16 === 0) await turn()
  }
  collected += observer.takeRecords().filter(isMinor).length
  console.log(collected, last.length)`

async function collections(call: string): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', READER(call)])
  return Number.parseInt(stdout, 10)
}

test('bytes that pass through a process make V8 collect its young generation, before it marks the whole heap', async () => {
  const without = await collections('')
  const withWeight = await collections('weighYoung(last.length)')
  // 100 MB of weight, and at most 32 MB in the young generation.
  assert.ok(withWeight >= without + 3, `${withWeight} times, and ${without} times without`)
})

test('a read may have any size', () => {
  for (const bytes of [0, 1, 16_383, 16_384, 16_385, 36_865, 65_535, 65_536]) weighYoung(bytes)
})
