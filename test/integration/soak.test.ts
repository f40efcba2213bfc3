import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { asRoot, needsCommand, Program, scopeOf } from '../harness/index.ts'

const MAIN = join(import.meta.dirname, '..', 'soak', 'main.ts')
const MINUTE_MS = 60_000
/** Long enough for each agent to be killed and each kind of disturbance to come. */
const SECONDS = 180

test(`four agents live through kills, lost links and churn for ${SECONDS} seconds, and every end has its cause`, {
  ...asRoot,
  timeout: 7 * MINUTE_MS
}, async t => {
  if (!needsCommand(t, 'nft')) return
  const soak = new Program(scopeOf(t), [process.execPath, MAIN, '--minutes', String(SECONDS / 60)])
  const { code, stdout, stderr } = await soak.outcome(6.5 * MINUTE_MS)
  for (const line of stdout.trimEnd().split('\n')) t.diagnostic(line)
  assert.equal(code, 0, stdout + stderr)
  assert.match(stdout, /^soak ok: /m)
})

test('the soak finds an end of a flow that none of its disturbances caused', asRoot, async t => {
  if (!needsCommand(t, 'nft')) return
  const soak = new Program(scopeOf(t), [process.execPath, MAIN, '--minutes', '0.01', '--plant'])
  const { code, stdout, stderr } = await soak.outcome(2 * MINUTE_MS)
  assert.equal(code, 1, stdout + stderr)
  assert.match(stdout, /near→hub tcp by near–hub ended: /)
  assert.match(stdout, /^soak FAILED, faults: 1;/m)
})
