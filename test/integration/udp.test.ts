import assert from 'node:assert/strict'
import test from 'node:test'
import {
  asRoot,
  at,
  createHosts,
  type Host,
  Program,
  type Scope,
  scopeOf,
  settled,
  startPair,
  type TestAgent,
  waitFor
} from '../harness/index.ts'

const ECHO = 'dev.web.echo.default'
const SHOP = 'dev.shop.cart.default'

// Answers each datagram with the port that it came from and its content, as no server behind one shared port could.
const ECHO_SERVER = `
  const socket = require('node:dgram').createSocket('udp4')
  socket.on('message', (payload, from) => socket.send(from.port + ' ' + payload, from.port, from.address))
  socket.bind(5300, '127.0.0.1', () => console.log('listening'))`

// Many sockets at once, each of which sends its own words and counts what it gets back that is not its own.
const CLIENTS = `
  const dgram = require('node:dgram')
  const [port, clients, rounds] = process.argv.slice(1).map(Number)
  const own = new Set()
  let wrong = 0, done = 0
  for (let index = 0; index < clients; index += 1) {
    const socket = dgram.createSocket('udp4')
    let round = 0, mine
    const ask = () => socket.send('client ' + index + ' round ' + round, port, '127.0.0.1')
    // As every program over UDP must, it asks again when no answer comes.
    const again = setInterval(ask, 500)
    socket.on('message', payload => {
      const [from, ...text] = String(payload).split(' ')
      mine ??= from
      if (from !== mine || !text.join(' ').startsWith('client ' + index + ' ')) wrong += 1
      if (text.join(' ') !== 'client ' + index + ' round ' + round) return
      round += 1
      if (round < rounds) { ask(); return }
      clearInterval(again)
      own.add(mine)
      socket.close()
      done += 1
      if (done === clients) console.log(JSON.stringify({ done, wrong, ports: own.size }))
    })
    ask()
  }`

// Sends 50 numbered datagrams a second and prints what fraction of them was answered, and how late.
const METRONOME = `
  const [port, count] = process.argv.slice(1).map(Number)
  const socket = require('node:dgram').createSocket('udp4')
  const sent = [], late = []
  socket.on('message', payload => {
    const index = Number(String(payload).split(' ')[1])
    late.push(performance.now() - sent[index])
  })
  const timer = setInterval(() => {
    if (sent.length === count) {
      clearInterval(timer)
      setTimeout(() => {
        late.sort((one, other) => one - other)
        const at = share => Number(late[Math.min(late.length - 1, Math.floor(late.length * share))].toFixed(2))
        console.log(JSON.stringify({ answered: late.length / count, p50: at(0.5), p99: at(0.99) }))
        socket.close()
      }, 2000)
      return
    }
    sent.push(performance.now())
    socket.send(String(sent.length - 1), port, '127.0.0.1')
  }, 20)`

interface Flow {
  readonly protocol: string
  readonly datagramsIn: string
  readonly datagramsOut: string
  readonly dropped: string
  readonly carrier: string
}

function nft(host: Host, command: string): void {
  host.run('nft', ...command.split(' '))
}

async function udpFlows(agent: TestAgent): Promise<Flow[]> {
  const { flows = [] } = JSON.parse(await agent.cli('flows', '--json')) as { flows?: Flow[] }
  return flows.filter(({ protocol }) => protocol === 'udp')
}

async function start(scope: Scope, args: readonly string[] = []): Promise<[TestAgent, TestAgent, Host, Host]> {
  const [one, other] = await createHosts(scope, 'a', 'b')
  const [a, b] = await startPair(scope, { hosts: [one, other], args: ['--no-mdns', ...args] })
  return [a, b, one, other]
}

/** Exposes a UDP server of host `a` and forwards to it on `b`; answers the port there. */
async function exposeAndForward(a: TestAgent, b: TestAgent, address: string, server: string): Promise<string> {
  await a.spawn(['expose', address, '--udp', server]).says(new RegExp(`^${address}`.replaceAll('.', '\\.'), 'm'))
  await b.knows(address)
  await a.allow(SHOP, address)
  await b.follows(a)
  const forward = b.spawn(['forward', address, '--udp', '--listen', '127.0.0.1:0', '--as', SHOP])
  const [, port = ''] = await forward.says(/^127\.0\.0\.1:(\d+)$/m)
  return port
}

test(
  'twenty clients at once reach an unmodified server, each gets its own answers, and a deny cuts them all',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const [a, b, one, other] = await start(scope)
    const echo = new Program(scope, at({ host: one }, [process.execPath, '-e', ECHO_SERVER]))
    await echo.says(/listening/)
    const port = await exposeAndForward(a, b, ECHO, '127.0.0.1:5300')

    const clients = new Program(scope, at({ host: other }, [process.execPath, '-e', CLIENTS, port, '20', '50']))
    const { stdout } = await clients.outcome()
    assert.deepEqual(JSON.parse(stdout), { done: 20, wrong: 0, ports: 20 })
    const flows = await udpFlows(b)
    assert.equal(flows.length, 20)
    assert.ok(flows.every(flow => Number(flow.datagramsOut) >= 50 && Number(flow.datagramsIn) >= 50))
    t.diagnostic(`carried by: ${[...new Set(flows.map(({ carrier }) => carrier))].join(', ')}`)

    await a.cli('deny', SHOP, ECHO)
    await waitFor(async () => (await udpFlows(a)).length + (await udpFlows(b)).length === 0, 'all flows to be cut')
    const late = new Program(scope, at({ host: other }, [process.execPath, '-e', CLIENTS, port, '1', '1']))
    await assert.rejects(settled(late.outcome(), 'an answer that must not come', 2_000))
    assert.equal(late.stdout, '')
  }
)

test('datagrams use the datagram path between hosts, leave it when it is blocked, and return', asRoot, async t => {
  const scope = scopeOf(t)
  const [a, b, one, other] = await start(scope)
  await new Program(scope, at({ host: one }, [process.execPath, '-e', ECHO_SERVER])).says(/listening/)
  const port = await exposeAndForward(a, b, ECHO, '127.0.0.1:5300')
  const count = Number(process.env['TEST_METRONOME_COUNT'] ?? 120)
  const measure = async (): Promise<{ answered: number; p50: number; p99: number }> => {
    const program = new Program(scope, at({ host: other }, [process.execPath, '-e', METRONOME, port, String(count)]))
    return JSON.parse((await program.outcome(count * 20 + 30_000)).stdout)
  }
  const carriers = async (): Promise<string> => {
    const flows = [...(await udpFlows(a)), ...(await udpFlows(b))]
    return [...new Set(flows.map(({ carrier }) => carrier))].join(' ')
  }
  const clean = await measure()
  assert.equal(clean.answered, 1)
  assert.equal(await carriers(), 'udp')

  // Two in a hundred are lost each way, of TCP as of UDP.
  nft(other, 'add table inet lossy')
  nft(other, 'add chain inet lossy in { type filter hook input priority 0; }')
  nft(other, 'add chain inet lossy out { type filter hook output priority 0; }')
  for (const chain of ['in', 'out']) {
    const interfaceName = chain === 'in' ? 'iifname' : 'oifname'
    nft(other, `add rule inet lossy ${chain} ${interfaceName} eth0 numgen random mod 100 < 2 drop`)
  }
  const packets = await measure()
  nft(other, 'add rule inet lossy out oifname eth0 ip protocol udp drop')
  // What is sent is how both ends find out, the second one after the first: so the sending goes on until they have.
  const leftBy = async (): Promise<boolean> => (await measure()).answered >= 0 && (await carriers()) === 'direct'
  await waitFor(leftBy, 'both ends to use capsules', 60_000)
  const capsules = await measure()
  assert.equal(await carriers(), 'direct')
  t.diagnostic(`without loss: ${JSON.stringify(clean)}`)
  t.diagnostic(`2 % loss each way, packets: ${JSON.stringify(packets)}; capsules: ${JSON.stringify(capsules)}`)
  assert.ok(packets.answered > 0.85)
  assert.equal(capsules.answered, 1)

  nft(other, 'delete table inet lossy')
  const talk = waitFor(
    async () => (await measure()).answered > 0 && (await carriers()) === 'udp',
    'packets again',
    60_000
  )
  await talk
})

test('serve and connect exchange lines as datagrams; deny cuts, with an error at the client', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const serve = a.spawn(['serve', ECHO, '--udp'])
  await serve.says(/serving/, 'stderr')
  await b.knows(ECHO)
  const refused = await b.attempt(['connect', ECHO, '--udp', '--as', SHOP])
  assert.match(refused.stderr, /UNAUTHORIZED/)

  await a.cli('allow', SHOP, ECHO, '--udp')
  await b.follows(a)
  const overTcp = await b.attempt(['connect', ECHO, '--as', SHOP])
  assert.match(overTcp.stderr, /DESTINATION_NOT_FOUND/)
  const client = b.spawn(['connect', ECHO, '--udp', '--as', SHOP])
  await client.says(/connected to dev\.web\.echo\.default\.a/, 'stderr')
  client.stdin.write('one\ntwo\n')
  await serve.says(/^one\ntwo\n/)
  serve.stdin.write('answer\n')
  await client.says(/^answer\n/)

  const denied = performance.now()
  await a.cli('deny', SHOP, ECHO)
  const cut = await settled(client.outcome(), 'the cut of the live flow', 5_000)
  t.diagnostic(`deny to cut: ${Math.round(performance.now() - denied)} ms, with the start of the command`)
  assert.equal(cut.code, 1)
  assert.match(cut.stderr, /FLOW_CUT/)
  await serve.says(/cut/, 'stderr')
})

test('the end of an exposing process cuts the flows to it', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const serve = a.spawn(['serve', ECHO, '--udp', '--allow', 'dev.shop.*.*'])
  await serve.says(/serving/, 'stderr')
  await b.knows(ECHO)
  const client = b.spawn(['connect', ECHO, '--udp', '--as', SHOP])
  await client.says(/connected/, 'stderr')
  await serve.kill()
  const { code } = await settled(client.outcome(), 'the cut of the live flow', 5_000)
  assert.ok(code !== null)
  await waitFor(async () => (await udpFlows(a)).length + (await udpFlows(b)).length === 0, 'the flows to end')
})
