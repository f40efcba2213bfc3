import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createTcp } from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createServer as createTls } from 'node:tls'
import { readOptions } from '../../src/config/index.ts'
import { scopeOf, waitFor } from '../harness/index.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'
import { Collector, certificateIn, pushLog, Settings, seqIn, upTo } from './push-support.ts'
import { FLOW, linesIn, openLog, PEER } from './support.ts'

describe('an audit log that is pushed', { concurrency: true }, () => {
  test('is at a receiver of syslog line by line, each as it is in the file', async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    const path = join(directory, 'audit.log')
    const audit = await openLog(path)
    const collector = await Collector.listen(scope)
    const push = pushLog({ scope, path, audit, to: [`syslog+tcp://127.0.0.1:${collector.port}`] })
    audit.add('flow-opened', { ...FLOW, rule: 'a"b]c\\' })
    audit.add('flow-refused', { ...FLOW, code: 'UNAUTHORIZED', reason: 'no rule allows it' })
    await audit.close()
    await push.close()
    const lines = linesIn(directory)
    assert.deepEqual(
      collector.messages.map(message => message.slice(message.indexOf('{"seq"'))),
      lines
    )
    const [, opened = '', refused = ''] = collector.messages
    const { at } = JSON.parse(lines[1] ?? '') as { at: string }
    const structure = `[origin software="warren" swVersion="1.0.0"][warren@32473 seq="2" trustDomain="example.org" peer="${PEER}"`
    const fields = `source="${FLOW.source}" destination="${FLOW.destination}" flowId="f0" rule="a\\"b\\]c\\\\"]`
    assert.ok(opened.startsWith(`<110>1 ${at} a warren - flow-opened ${structure} ${fields} {"seq":2,`), opened)
    assert.match(refused, /^<108>1 .* flow-refused .* code="UNAUTHORIZED"\] \{/)
    const [status] = push.status
    assert.deepEqual([status?.behind, status?.through, status?.problem], [0, lines.length, ''])
  })

  test('continues where it stopped, also after a receiver was away', async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    const path = join(directory, 'audit.log')
    const store = new Settings()
    const first = await Collector.listen(scope)
    const { port } = first
    const to = [`syslog+tcp://127.0.0.1:${port}`]
    let audit = await openLog(path)
    let push = pushLog({ scope, path, audit, to, store })
    await audit.close()
    await push.close()
    await first.stop()
    assert.deepEqual(first.seqs, [1, 2])

    audit = await openLog(path)
    push = pushLog({ scope, path, audit, to, store })
    audit.add('flow-opened', FLOW)
    await waitFor(() => push.status[0]?.problem !== '', 'the failure to be noticed')
    assert.match(push.status[0]?.problem ?? '', /ECONNREFUSED/)
    assert.ok((push.status[0]?.failingSinceMs ?? 0) > 0)
    const second = await Collector.listen(scope, port)
    await waitFor(() => second.seqs.includes(4), 'the line of the flow')
    await audit.close()
    await push.close()
    assert.deepEqual(second.seqs, [3, 4, 5])
    assert.equal(push.status[0]?.failingSinceMs, 0)
  })

  test('loses no line to a receiver that resets connections after it has taken some', async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    const path = join(directory, 'audit.log')
    const audit = await openLog(path)
    let connections = 0
    const read: number[] = []
    const server = createTcp(socket => {
      connections += 1
      const isBad = connections <= 2
      let text = ''
      socket.on('error', () => {})
      socket.on('data', chunk => {
        text += chunk.toString()
        if (isBad) socket.resetAndDestroy()
      })
      socket.on('end', () =>
        read.push(
          ...text.split('\n').flatMap(part => [...part.matchAll(/\{"seq":(\d+),/g)].map(match => Number(match[1])))
        )
      )
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    scope.defer(() => server.close())
    const { port } = server.address() as { port: number }
    const push = pushLog({ scope, path, audit, to: [`syslog+tcp://127.0.0.1:${port}`] })
    for (let number = 0; number < 100; number += 1) audit.add('flow-opened', FLOW)
    await waitFor(() => read.includes(101), 'the last line')
    await audit.close()
    await push.close()
    assert.deepEqual(
      [...new Set(read)].sort((one, other) => one - other),
      upTo(102)
    )
  })

  test('waits for a receiver that reads nothing, and keeps neither the log nor other receivers waiting', async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    const path = join(directory, 'audit.log')
    const audit = await openLog(path)
    const server = createTcp({ pauseOnConnect: true }, socket => {
      socket.on('error', () => {})
      scope.defer(() => socket.destroy())
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    scope.defer(() => server.close())
    const { port } = server.address() as { port: number }
    const other = await Collector.listen(scope)
    const to = [`syslog+tcp://127.0.0.1:${port}`, `syslog+tcp://127.0.0.1:${other.port}`]
    const push = pushLog({ scope, path, audit, to })
    const count = 12_000
    for (let number = 0; number < count; number += 1) audit.add('flow-opened', FLOW)
    await waitFor(() => audit.waiting === 0, 'the records to be written')
    await waitFor(() => push.status[1]?.behind === 0, 'the other receiver to have all')
    assert.deepEqual(other.seqs.slice(0, count + 1), upTo(count + 1))
    assert.equal(push.status[0]?.through, 0)
    await audit.close()
    await push.close()
    assert.equal(push.status[0]?.through, 0)
  })

  test('says in a signed record, once, which lines were removed before a receiver got them', async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    const path = join(directory, 'audit.log')
    const store = new Settings()
    const { metrics, counts } = recordingMetrics()
    const maxBytes = 64 * 1_024
    const first = await Collector.listen(scope)
    const { port } = first
    const to = [`syslog+tcp://127.0.0.1:${port}`]
    let audit = await openLog(path, { maxBytes })
    let push = pushLog({ scope, path, audit, to, store })
    await audit.close()
    await push.close()
    await first.stop()
    audit = await openLog(path, { maxBytes })
    for (let round = 0; round < 40; round += 1) {
      for (let number = 0; number < 10; number += 1) audit.add('flow-opened', FLOW)
      await waitFor(() => audit.waiting === 0, 'the records to be written')
    }
    const second = await Collector.listen(scope, port)
    push = pushLog({ scope, path, audit, to, store, metrics })
    await waitFor(() => second.text.includes('audit-push-gap'), 'the record of the gap')
    await audit.close()
    await push.close()
    const [from = 0] = second.seqs
    assert.ok(from > 100)
    assert.deepEqual(
      second.seqs,
      upTo(second.seqs.length).map(number => number + from - 1)
    )
    const gaps = second.messages.filter(message => message.includes('"event":"audit-push-gap"'))
    assert.equal(gaps.length, 1)
    const record = JSON.parse(gaps[0]?.slice(gaps[0].indexOf('{"seq"')) ?? '') as {
      fields: Record<string, unknown>
      signature: string
    }
    assert.deepEqual(record.fields, {
      peer: PEER,
      target: to[0],
      lost: from - 3,
      first: 3,
      last: from - 1
    })
    assert.match(record.signature, /^[0-9a-f]{128}$/)
    assert.equal(counts.get('warren_audit_push_skipped_total{target="1"}'), from - 3)
  })

  test('is pushed from its beginning when it is another one than before', async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    const path = join(directory, 'audit.log')
    const store = new Settings()
    const collector = await Collector.listen(scope)
    const to = [`syslog+tcp://127.0.0.1:${collector.port}`]
    const round = async (): Promise<void> => {
      const audit = await openLog(path)
      const push = pushLog({ scope, path, audit, to, store })
      audit.add('flow-opened', FLOW)
      await audit.close()
      await push.close()
    }
    await round()
    await round()
    for (const name of readdirSync(directory)) rmSync(join(directory, name))
    await round()
    assert.deepEqual(collector.seqs, [1, 2, 3, 4, 5, 6, 1, 2, 3])
    assert.deepEqual(
      store.saved.map(text => text.split(':')[0]),
      ['3']
    )
  })

  test('reaches a receiver over TLS only if its authority is the one that was named, and proves this host to it', async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    const path = join(directory, 'audit.log')
    const audit = await openLog(path)
    const [own, client] = [certificateIn(scope), certificateIn(scope)]
    const server = createTls({
      cert: readFileSync(own.cert),
      key: readFileSync(own.key),
      ca: readFileSync(client.cert),
      requestCert: true,
      rejectUnauthorized: true
    })
    const collector = await Collector.listen(scope, 0, server)
    const at = `syslog+tls://127.0.0.1:${collector.port}`
    const stranger = pushLog({ scope, path, audit, to: [at] })
    await waitFor(() => stranger.status[0]?.problem !== '', 'the certificate to be refused')
    assert.match(stranger.status[0]?.problem ?? '', /self-signed certificate/)
    const unproved = pushLog({ scope, path, audit, to: [`${at}#ca=${own.ca}`] })
    await waitFor(() => unproved.status[0]?.problem !== '', 'the receiver to refuse who has no certificate')
    assert.equal(collector.text, '')
    const files = `#ca=${own.ca}&cert=${client.cert}&key=${client.key}`
    const push = pushLog({ scope, path, audit, to: [`${at}${files}`] })
    await waitFor(() => push.status[0]?.through === 1, 'the first line')
    await Promise.all([stranger.close(), unproved.close(), push.close()])
    assert.deepEqual(collector.seqs, [1])
  })

  test('is one datagram for each line at a receiver of UDP, and nobody listening is noticed', async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    const path = join(directory, 'audit.log')
    const audit = await openLog(path)
    const socket = createSocket('udp4')
    const messages: string[] = []
    socket.on('message', message => messages.push(message.toString()))
    await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve))
    const { port } = socket.address()
    const push = pushLog({ scope, path, audit, to: [`syslog+udp://127.0.0.1:${port}`] })
    await waitFor(() => push.status[0]?.through === 1, 'the first line')
    assert.deepEqual(messages.map(seqIn), [1])
    assert.match(messages[0] ?? '', /^<110>1 /)
    await new Promise<void>(resolve => socket.close(() => resolve()))
    audit.add('flow-opened', FLOW)
    await waitFor(() => push.status[0]?.problem !== '', 'the failure to be noticed')
    assert.match(push.status[0]?.problem ?? '', /ECONNREFUSED/)
    assert.equal(push.status[0]?.through, 1)
  })

  test('is a stream of lines with their priorities at journald', async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    const path = join(directory, 'audit.log')
    const audit = await openLog(path)
    const journal = await Collector.listen(scope, join(directory, 'stdout'), createTcp({ allowHalfOpen: true }))
    // As journald does: it has nothing to say.
    journal.server.on('connection', socket => socket.end())
    const { auditPush: [target] = [] } = readOptions(name => (name === 'audit-push' ? ['journald:'] : undefined))
    assert.ok(target?.kind === 'journal')
    assert.equal(target.path, '/run/systemd/journal/stdout')
    const push = pushLog({ scope, path, audit, to: [], targets: [{ ...target, path: join(directory, 'stdout') }] })
    audit.add('flow-refused', { ...FLOW, code: 'UNAUTHORIZED', reason: 'no rule allows it' })
    await waitFor(() => push.status[0]?.through === 2, 'the lines')
    const [first, second] = readFileSync(path, 'utf8').split('\n')
    assert.equal(journal.text, `warren-audit\n\n6\n1\n0\n0\n0\n<6>${first}\n<4>${second}\n`)
  })
})

test('a file of a receiver that cannot be used is refused at the start, without what it contains', async t => {
  const scope = scopeOf(t)
  const directory = scope.directory()
  const path = join(directory, 'audit.log')
  const audit = await openLog(path)
  scope.defer(() => audit.close())
  const to = [`syslog+tls://127.0.0.1#ca=${directory}/none.pem`]
  assert.throws(() => pushLog({ scope, path, audit, to }), {
    code: 'INVALID_ARGUMENT',
    message: /none\.pem: it does not exist/
  })
})
