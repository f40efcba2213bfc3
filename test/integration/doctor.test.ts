import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { gunzipSync } from 'node:zlib'
import { scopeOf, startPair } from '../harness/index.ts'

interface Finding {
  readonly check: string
  readonly verdict: string
  readonly text: string
}

test('the doctor examines a host with an agent and without one, and its bundle holds no secret of the state directory', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const file = join(scope.directory(), 'support.gz')
  const token = await a.token('c')
  const diagnose = async (...more: string[]) => {
    const { code, stdout } = await a.attempt(['doctor', '--json', '--state-dir', a.stateDir, ...more])
    return { code, findings: (JSON.parse(stdout) as { readonly findings: readonly Finding[] }).findings }
  }
  const verdictOf = (findings: readonly Finding[], check: string) => findings.find(one => one.check === check)?.verdict

  const well = await diagnose('--bundle', file)
  assert.equal(verdictOf(well.findings, 'agent'), 'ok')
  assert.equal(verdictOf(well.findings, 'members'), 'ok')
  assert.equal(verdictOf(well.findings, 'ports'), 'ok')
  assert.equal(verdictOf(well.findings, 'disk'), 'ok')
  // Both hosts of a test announce loopback addresses only.
  assert.deepEqual([verdictOf(well.findings, 'addresses'), well.code], ['fail', 1])

  assert.equal(statSync(file).mode & 0o777, 0o600)
  const bundle = gunzipSync(readFileSync(file)).toString()
  assert.match(bundle, /"format": "warren-support-1"/)
  assert.ok(!bundle.includes(token.slice(-20)))
  // The bodies of PEM files, in pieces that no line break cuts.
  const pieces = readdirSync(a.stateDir)
    .filter(name => name.endsWith('.key'))
    .flatMap(name => readFileSync(join(a.stateDir, name), 'latin1').match(/[A-Za-z0-9+/]{40}/g) ?? [])
  assert.ok(pieces.length > 5)
  assert.deepEqual(
    pieces.filter(piece => bundle.includes(piece)),
    []
  )
  const other = join(scope.directory(), 'other')
  writeFileSync(other, 'of somebody')
  const { stderr } = await a.attempt(['doctor', '--state-dir', a.stateDir, '--bundle', other])
  assert.match(stderr, /ALREADY_EXISTS/)
  assert.equal(readFileSync(other, 'utf8'), 'of somebody')
  assert.match(
    (await a.attempt(['doctor', '--bundle', '-'])).stderr,
    /INVALID_OPTION: standard output has the findings/
  )

  await b.kill()
  await a.kill()
  const dead = await diagnose('--bundle', file)
  assert.equal(dead.code, 1)
  assert.equal(verdictOf(dead.findings, 'agent'), 'fail')
  assert.equal(verdictOf(dead.findings, 'disk'), 'ok')
  assert.match(gunzipSync(readFileSync(file)).toString(), /AGENT_NOT_RUNNING/)
})
