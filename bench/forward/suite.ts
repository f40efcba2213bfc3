import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type Scope, startPair } from '../../test/harness/index.ts'
import { describeMachine, loadNow, type Report } from '../report.ts'
import { inTurns, type Measure, type Named } from '../rounds.ts'
import { percentile } from '../statistics.ts'
import type { SuiteOptions } from '../suite.ts'

const SITE = 'dev.web.site.default'
const CLIENT = 'dev.shop.cart.default'
const ROUND_TRIPS = 2_000
const CONNECTIONS = 100
const QUESTION = Buffer.alloc(64, 7)
const PIECE = Buffer.alloc(64 * 1024, 7)
const BULK_BYTES = 128 * 1024 * 1024

interface Contender extends Named {
  readonly port: number
}

/** Clients of `warren forward` whose listener the agent has taken, and those whose bytes `forward` carries. */
export async function forwardSuite(scope: Scope, { rounds, only, say }: SuiteOptions): Promise<Report> {
  const before = loadNow()
  const [a, b] = await startPair(scope, { args: ['--limit', 'proxy_listeners_per_uid=1'] })
  const server = createServer({ noDelay: true }, answer).listen(0, '127.0.0.1')
  scope.defer(async () => void server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await a.spawn(['expose', SITE, '--tcp', `127.0.0.1:${port}`, '--no-health-check']).says(/dev\.web\.site/)
  await a.cli('allow', CLIENT, SITE)
  await b.knows(SITE)
  await b.follows(a)
  const forward = async (): Promise<number> => {
    const program = b.spawn(['forward', SITE, '--listen', '127.0.0.1:0', '--as', CLIENT])
    return Number((await program.says(/^127\.0\.0\.1:(\d+)$/m))[1])
  }
  // The second one finds the limit reached.
  const contenders: Contender[] = [
    { name: 'the agent takes the clients', ours: true, port: await forward() },
    { name: 'forward carries the bytes', ours: true, port: await forward() }
  ]
  const wanted = MEASURES.filter(({ figures }) => only === undefined || figures.some(({ name }) => name.includes(only)))
  const measures = await inTurns(contenders, wanted, rounds, say)
  return { suite: 'forward', machine: describeMachine(), load: before, rounds, measures }
}

const MEASURES: readonly Measure<Contender>[] = [
  {
    figures: [
      { key: 'p50', name: 'round trip of 64 bytes, p50', unit: 'µs', better: 'less' },
      { key: 'p99', name: 'round trip of 64 bytes, p99', unit: 'µs', better: 'less' }
    ],
    run: roundTrips
  },
  { figures: [{ key: 'rate', name: 'bulk, from the server', unit: 'MB/s', better: 'more' }], run: bulk },
  {
    figures: [{ key: 'p50', name: 'connection and first round trip, p50', unit: 'ms', better: 'less' }],
    run: connections
  }
]

/** Answers each question, and a byte of zero with the bulk. */
function answer(socket: Socket): void {
  socket.on('error', () => {})
  socket.on('data', question => {
    if (question[0] === 0) void sendBulk(socket)
    else socket.write(question)
  })
}

async function sendBulk(socket: Socket): Promise<void> {
  for (let sent = 0; sent < BULK_BYTES; sent += PIECE.length) {
    if (!socket.write(PIECE)) await once(socket, 'drain')
  }
}

async function dial(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  await once(socket, 'connect')
  // The end of the suite cuts what is still closing; a failure before it is one of the waits for data.
  socket.on('error', () => {})
  return socket
}

async function ask(socket: Socket): Promise<void> {
  socket.write(QUESTION)
  for (let bytes = 0; bytes < QUESTION.length; ) bytes += ((await once(socket, 'data')) as [Buffer])[0].length
}

async function roundTrips({ port }: Contender): Promise<Record<string, number>> {
  const socket = await dial(port)
  for (let at = 0; at < ROUND_TRIPS / 10; at += 1) await ask(socket)
  const took: number[] = []
  for (let at = 0; at < ROUND_TRIPS; at += 1) {
    const startedMs = performance.now()
    await ask(socket)
    took.push((performance.now() - startedMs) * 1_000)
  }
  socket.destroy()
  return { p50: percentile(took, 50), p99: percentile(took, 99) }
}

async function bulk({ port }: Contender): Promise<Record<string, number>> {
  const socket = await dial(port)
  const done = Promise.withResolvers<void>()
  let bytes = 0
  const startedMs = performance.now()
  socket.on('data', piece => {
    bytes += piece.length
    if (bytes >= BULK_BYTES) done.resolve()
  })
  socket.on('error', done.reject)
  socket.write(Buffer.of(0))
  await done.promise
  socket.destroy()
  return { rate: bytes / 1_000 / (performance.now() - startedMs) }
}

async function connections({ port }: Contender): Promise<Record<string, number>> {
  const took: number[] = []
  for (let at = 0; at < CONNECTIONS; at += 1) {
    const startedMs = performance.now()
    const socket = await dial(port)
    await ask(socket)
    took.push(performance.now() - startedMs)
    socket.end()
  }
  return { p50: percentile(took, 50) }
}
