import assert from 'node:assert/strict'
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import dnsPacket, { type DecodedPacket } from 'dns-packet'
import { type HostPort, parseHostPort } from '../../src/core/index.ts'
import { type DnsServerOptions, Rcode, serveDns } from '../../src/listeners/index.ts'
import { waitFor } from '../harness/index.ts'

const NAME = 'dev.db.main.default.warren'

async function setUp(t: TestContext, options: Partial<DnsServerOptions> = {}) {
  const asked: { name: string; uid: number }[] = []
  const failures: unknown[] = []
  const dns = await serveDns(
    { host: '127.0.0.1', port: 0 },
    {
      answer: async ({ name, type }, uid) => {
        asked.push({ name, uid })
        if (type === 'TXT') throw new Error('no answer')
        return { rcode: Rcode.NoError, answers: [{ type: 'A', name, ttl: 5, data: '127.64.0.1' }] }
      },
      uidOfDatagrams: () => 1000,
      uidOfStream: () => 1000,
      onFailure: err => failures.push(err),
      ...options
    }
  )
  t.after(() => dns.close())
  return { at: parseHostPort(dns.bound), asked, failures }
}

const query = (id: number, type: 'A' | 'TXT' = 'A'): Buffer =>
  dnsPacket.encode({ type: 'query', id, flags: dnsPacket.RECURSION_DESIRED, questions: [{ type, name: NAME }] })

async function client(t: TestContext): Promise<{ socket: UdpSocket; port: number; answers: DecodedPacket[] }> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.after(() => void socket.close())
  const answers: DecodedPacket[] = []
  socket.on('message', bytes => answers.push(dnsPacket.decode(bytes)))
  return { socket, port: socket.address().port, answers }
}

const rcodeOf = (packet: DecodedPacket | undefined): string => (packet as unknown as { rcode: string }).rcode

test('a query is answered by UDP and by TCP, and a failure is SERVFAIL', async t => {
  const { at, failures } = await setUp(t)
  const { socket, answers } = await client(t)
  socket.send(query(1), at.port, at.host)
  await waitFor(() => answers.length > 0, 'an answer')
  assert.deepEqual([answers[0]?.id, answers[0]?.flag_aa, answers[0]?.flag_rd], [1, true, true])
  socket.send(query(2, 'TXT'), at.port, at.host)
  await waitFor(() => answers.length > 1, 'another answer')
  assert.equal(rcodeOf(answers[1]), 'SERVFAIL')
  assert.equal(failures.length, 1)
  assert.deepEqual(await byTcp(at, [3, 4, 5]), [3, 4, 5])
})

/** The ids of the answers to queries that are sent at once, on one connection. */
async function byTcp(at: HostPort, ids: readonly number[]): Promise<(number | undefined)[]> {
  const socket = connect(at)
  let bytes = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
  })
  socket.end(Buffer.concat(ids.map(id => dnsPacket.streamEncode(dnsPacket.decode(query(id))))))
  await once(socket, 'close')
  const found: (number | undefined)[] = []
  for (let rest = bytes; rest.length > 0; rest = rest.subarray(2 + rest.readUInt16BE())) {
    found.push(dnsPacket.streamDecode(rest).id)
  }
  return found
}

test('a flood of one user costs no other user an answer, by UDP and by TCP', async t => {
  const users = new Map<number, number>()
  const { at, asked } = await setUp(t, {
    rate: { burst: 20, perSecond: 0 },
    uidOfDatagrams: ({ port }) => users.get(port)
  })
  const [flooder, other] = [await client(t), await client(t)]
  users.set(flooder.port, 1)
  users.set(other.port, 2)
  for (let id = 1; id <= 100; id += 1) flooder.socket.send(query(id), at.port, at.host)
  await waitFor(() => flooder.answers.length === 20, 'the answers to the flood')
  other.socket.send(query(7), at.port, at.host)
  await waitFor(() => other.answers.length === 1, 'the answer to the other')
  assert.deepEqual([flooder.answers.length, asked.filter(({ uid }) => uid === 1).length], [20, 20])
  assert.equal(
    (
      await byTcp(
        at,
        Array.from({ length: 40 }, (_, id) => id)
      )
    ).length,
    20
  )
})

test('nobody gets an answer that a datagram of no socket asked for', async t => {
  const { at, asked } = await setUp(t, { uidOfDatagrams: ({ port }) => (port === own.port ? 1 : undefined) })
  const [own, unknown] = [await client(t), await client(t)]
  unknown.socket.send(query(1), at.port, at.host)
  own.socket.send(query(2), at.port, at.host)
  await waitFor(() => own.answers.length > 0, 'an answer')
  assert.deepEqual([unknown.answers.length, asked.length], [0, 1])
})

test('answers, garbage and half queries end nothing and get nothing', async t => {
  const { at, asked } = await setUp(t)
  const { socket, answers } = await client(t)
  socket.send(dnsPacket.encode({ type: 'response', id: 1 }), at.port, at.host)
  socket.send(Buffer.alloc(3), at.port, at.host)
  const half = connect(at)
  half.on('error', () => {})
  half.end(Buffer.from([0, 40, 1]))
  await once(half, 'close')
  const large = connect(at)
  large.on('error', () => {})
  large.write(Buffer.alloc(4_000, 0xff))
  await new Promise<void>(resolve => large.once('close', () => resolve()))
  socket.send(query(9), at.port, at.host)
  await waitFor(() => answers.length > 0, 'an answer')
  assert.deepEqual([answers.map(({ id }) => id), asked.length], [[9], 1])
})
