import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import test from 'node:test'
import { Collector, upTo } from '../audit/push-support.ts'
import { type Scope, type Status, scopeOf, TestAgent, waitFor } from '../harness/index.ts'

type Pushes = Status & {
  readonly auditPushes: ReadonlyArray<{ target: string; through: number; behind: number; problem: string }>
}

/** A webhook that answers 503 until it is opened. */
async function webhook(scope: Scope) {
  const state = { isOpen: false, body: '' }
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += chunk.toString()
    })
    request.on('end', () => {
      if (state.isOpen) state.body += body
      response.writeHead(state.isOpen ? 200 : 503).end()
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  scope.defer(() => server.close())
  scope.defer(() => server.closeAllConnections())
  const { port } = server.address() as { port: number }
  return { state, port }
}

test('no line is missing at a receiver after the agent was killed and a receiver was away, and status says how far it is', async t => {
  const scope = scopeOf(t)
  const collector = await Collector.listen(scope)
  const slow = await webhook(scope)
  const syslog = `syslog+tcp://127.0.0.1:${collector.port}`
  const otlp = `otlp+http://127.0.0.1:${slow.port}`
  const args = ['--audit-push', syslog, '--audit-push', otlp]
  const a = new TestAgent(scope, { name: 'a', args: [] })
  await a.start(['--init', 'example.org', ...args])
  const pushes = async () => (JSON.parse(await a.cli('status', '--json')) as Pushes).auditPushes
  await a.allow('dev.cli.*.*', 'dev.web.*.*')
  await waitFor(() => collector.text.includes('"rule-changed"'), 'the change of the policy at the collector')
  await waitFor(async () => /503/.test((await pushes())[1]?.problem ?? ''), 'the failure in the status')
  assert.match(
    await a.cli('status'),
    /ALARM +audit log not pushed to otlp\+http:.* lines wait: the receiver answered 503/
  )
  assert.match(await a.cli('status'), /audit push +syslog\+tcp:/)
  assert.equal((await pushes())[1]?.through, 0)

  await a.allow('dev.two.*.*', 'dev.web.*.*')
  const lines = (): string[] => readFileSync(join(a.stateDir, 'audit.log'), 'utf8').split('\n').slice(0, -1)
  const hasChanges = (count: number): boolean =>
    lines().filter(line => line.includes('"rule-changed"')).length === count
  await waitFor(() => hasChanges(2), 'the change in the log')
  await a.kill()
  slow.state.isOpen = true
  await a.start(args)
  await a.allow('dev.three.*.*', 'dev.web.*.*')
  await waitFor(() => hasChanges(3), 'the changes in the log')
  const count = lines().length
  for (const seqs of [() => collector.seqs, () => seqsIn(slow.state.body)]) {
    await waitFor(() => upTo(count).every(seq => seqs().includes(seq)), 'every line at the receiver')
  }
  const metrics = await a.cli('metrics')
  assert.match(metrics, /warren_audit_push_behind\{target="1"\}/)
  assert.match(metrics, /warren_audit_pushed_total\{target="2"\}/)

  // A receiver has the whole log by an orderly stop, with its last line.
  await a.stop()
  const last = lines().length
  assert.match(lines().at(-1) ?? '', /"audit-closed"/)
  assert.ok(collector.seqs.includes(last))
  assert.ok(seqsIn(slow.state.body).includes(last))
})

/** The numbers of the lines in the bodies of requests. */
function seqsIn(body: string): number[] {
  return [...body.matchAll(/\{\\"seq\\":(\d+),/g)].map(match => Number(match[1]))
}
