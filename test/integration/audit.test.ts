import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { scopeOf, startPair, TestAgent, waitFor } from '../harness/index.ts'

interface RecordView {
  readonly seq: number
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
}

const logOf = (agent: TestAgent): string => join(agent.stateDir, 'audit.log')

async function records(agent: TestAgent, ...args: string[]): Promise<RecordView[]> {
  const text = await agent.cli('audit', 'show', logOf(agent), '--json', ...args)
  return (JSON.parse(text) as { records: RecordView[] }).records
}

interface ProcessView {
  readonly uid: number
  readonly pid: number
  readonly executable: string
}

function processIn(record: RecordView | undefined, field: string): ProcessView | undefined {
  return record?.fields[field] as ProcessView | undefined
}

/** The newest line of `machine` that another host has heard of. */
async function checkpointAt(other: TestAgent, machine: string): Promise<string> {
  const { members } = JSON.parse(await other.cli('members', '--json')) as {
    members: { machine: string; auditCheckpoint: string }[]
  }
  return members.find(one => one.machine === machine)?.auditCheckpoint ?? ''
}

test('both hosts record who opened a flow, who was refused, and who changed what; another host knows how far', async t => {
  const [a, b] = await startPair(scopeOf(t), { args: ['--audit', 'on'] })
  await a.cli('allow', 'dev.cli.*.*', 'dev.web.*.*')
  await b.follows(a)
  const server = b.spawn(['serve', 'dev.web.site.default'])
  await a.knows('dev.web.site.default')
  const client = a.spawn(['connect', 'dev.web.site.default', '--as', 'dev.cli.me.default'])
  client.stdin.write('hello\n')
  await server.says(/hello/)
  client.stdin.end()
  await server.stop()
  await client.outcome()
  await b.attempt(['connect', 'dev.web.site.default', '--as', 'dev.other.me.default'])
  const token = (await a.cli('token', 'create', 'c')).trim()
  await a.cli('entry', 'add', 'dev.web.*.*', '--uid', '1234')
  await a.cli('revoke', 'dev.shop.*.*')

  const [opened] = await waitFor(async () => {
    const found = await records(a, '--source', 'dev.cli.*.*', '--type', 'flow-opened')
    return found.length > 0 ? found : undefined
  }, 'the flow in the log of a')
  const uid = process.getuid?.()
  const source = processIn(opened, 'sourceProcess')
  assert.deepEqual([source?.uid, source?.pid], [uid, client.pid])
  assert.match(source?.executable ?? '', /node/)
  assert.equal(opened?.fields['rule'], 'r1')
  const [inbound] = await records(b, '--dest', 'dev.web.*.*', '--type', 'flow-opened')
  assert.equal(processIn(inbound, 'destinationProcess')?.pid, server.pid)
  assert.equal(inbound?.fields['sourceProcess'], undefined)
  const [ended] = await waitFor(async () => {
    const found = await records(b, '--type', 'flow-ended')
    return found.length > 0 ? found : undefined
  }, 'the end of the flow')
  assert.equal(ended?.fields['bytesOut'], 6)
  const [refused] = await waitFor(async () => {
    const found = await records(b, '--type', 'flow-refused')
    return found.length > 0 ? found : undefined
  }, 'the refusal')
  assert.equal(processIn(refused, 'sourceProcess')?.uid, uid)
  const changes = await waitFor(async () => {
    const found = await records(a, '--type', 'rule-changed')
    return found.length === 3 ? found : undefined
  }, 'the changes')
  assert.deepEqual(
    changes.map(({ fields }) => [fields['change'], fields['uid']]),
    [
      ['allow', uid],
      ['add-entry', uid],
      ['revoke', uid]
    ]
  )
  const [made] = await records(a, '--type', 'token-created')
  assert.equal(made?.fields['uid'], uid)
  assert.equal((await records(a, '--type', 'host-admitted'))[0]?.fields['machine'], 'b')
  assert.equal(readFileSync(logOf(a), 'utf8').includes(token), false)

  // The head of a host has the newest line that is signed and on its disk.
  const last = (await records(a)).at(-1)?.seq ?? 0
  const checkpoint = await waitFor(async () => {
    const heard = await checkpointAt(b, 'a')
    return Number(heard.split(':')[0]) >= last ? heard : undefined
  }, 'the checkpoint')
  const intact = await a.attempt(['audit', 'verify', logOf(a), '--checkpoint', checkpoint])
  assert.equal(intact.code, 0, intact.stderr)
  assert.match(intact.stdout, /lines in 1 file are intact\n/)
  await a.kill()
  const whole = readFileSync(logOf(a), 'utf8')
  const lines = whole.split('\n').slice(0, -1)
  writeFileSync(logOf(a), `${lines.slice(0, 4).join('\n')}\n`)
  const cut = await a.attempt(['audit', 'verify', logOf(a), '--checkpoint', checkpoint])
  assert.deepEqual([cut.code, /audit\.log:5: line 5: .* the end is cut off/.test(cut.stdout)], [1, true], cut.stdout)
  assert.equal((await a.attempt(['audit', 'verify', join(a.stateDir, 'none')])).code, 2)
  writeFileSync(logOf(a), whole)
})

test('an agent that is killed in the middle of a line repairs its log at the next start, and says so', async t => {
  const [a, b] = await startPair(scopeOf(t), { args: ['--audit', 'on'] })
  const follower = a.spawn(['audit', 'show', logOf(a), '--follow', '--json', '--type', 'audit-repaired'])
  await b.stop()
  await a.kill()
  appendFileSync(logOf(a), '{"seq":99,"at":"2026')
  assert.equal((await a.attempt(['audit', 'verify', logOf(a)])).code, 1)
  await a.start(['--audit', 'on'])
  await follower.says(/"event":"audit-repaired".*"cutBytes":20/)
  const verified = JSON.parse(await a.cli('audit', 'verify', logOf(a), '--json')) as {
    intact: boolean
    peers: string[]
  }
  assert.deepEqual([verified.intact, verified.peers.length], [true, 1])
  assert.equal(statSync(logOf(a)).mode & 0o777, 0o600)
  assert.match(await a.cli('metrics'), /^warren_audit_records_total [1-9]/m)
})

test('an audit log that cannot be opened keeps the agent from starting, with the reason', async t => {
  const a = new TestAgent(scopeOf(t), { name: 'a', args: [] })
  const init = ['--init', 'example.org']
  const path = join(a.stateDir, '..', 'open.log')
  writeFileSync(path, '', { mode: 0o644 })
  await assert.rejects(
    a.start([...init, '--audit', path]),
    /STATE_UNUSABLE: \S+open\.log has mode 644: it is open to other users/
  )
  await assert.rejects(
    a.start([...init, '--audit', 'audit.log']),
    /--audit "audit\.log" is neither "on" nor an absolute path/
  )
})
