import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { readable } from '../../src/attest/poll.ts'
import { scopeOf } from '../harness/index.ts'

const { EINTR, ENOMEM } = constants.errno
const ASKED = 200_000
const ATTEST = join(import.meta.dirname, '..', '..', 'src', 'attest', 'index.ts')

/** Asks whether its own process lives, and prints how often the answer was no. */
const PROGRAM = `
import { processHandle } from ${JSON.stringify(ATTEST)}
const own = processHandle(process.pid)
let ended = 0
for (let asked = 0; asked < ${ASKED}; asked += 1) if (!own.isAlive()) ended += 1
console.log(ended)
`

test('a signal that interrupts the question ends no process', t => {
  const directory = scopeOf(t).directory()
  // The profiler sends a signal for each sample.
  const profiler = ['--cpu-prof', '--cpu-prof-interval=50', `--cpu-prof-dir=${directory}`]
  const ended = execFileSync(process.execPath, [...profiler, '--input-type=module', '-e', PROGRAM], {
    encoding: 'utf8'
  })
  assert.equal(readdirSync(directory).length, 1, 'the profiler has not run')
  assert.equal(ended.trim(), '0')
})

test('an interrupted question is repeated, and not for ever', () => {
  const interrupted = (times: number) => {
    let asked = 0
    return { call: () => (asked++ < times ? -1 : 0), errno: () => EINTR, asked: () => asked }
  }
  const some = interrupted(3)
  assert.deepEqual(readable([7], some), [false])
  assert.equal(some.asked(), 4)
  assert.throws(() => readable([7], interrupted(Number.POSITIVE_INFINITY)), /errno/)
  assert.throws(() => readable([7], { call: () => -1, errno: () => ENOMEM }), /errno/)
})
