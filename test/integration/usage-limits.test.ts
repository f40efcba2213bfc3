import assert from 'node:assert/strict'
import { type AddressInfo, createServer } from 'node:net'
import test from 'node:test'
import { AgentClient, connect, type MeshSocket } from '../../src/client/index.ts'
import { ErrorCode } from '../../src/core/index.ts'
import { type Scope, scopeOf, TestAgent, waitFor } from '../harness/index.ts'

const ASKED = 40
const MOST = 2
const SITE = 'dev.web.site.default'

/** A server that says hello and takes whatever comes. Returns its address. */
async function greeter(scope: Scope): Promise<string> {
  const server = createServer(
    socket =>
      void socket
        .on('error', () => {})
        .resume()
        .write('hello')
  )
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  scope.defer(() => server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Connects as `as`, and returns the error's code if it is refused. */
async function dial(client: AgentClient, as: string, address = SITE): Promise<MeshSocket | string> {
  try {
    const socket = await connect(address, { client, as })
    socket.on('error', () => {})
    return socket
  } catch (err) {
    return err instanceof Error && 'code' in err ? String(err.code) : String(err)
  }
}

async function dialOnce(client: AgentClient, as: string): Promise<string> {
  const answer = await dial(client, as)
  if (typeof answer === 'string') return answer
  answer.destroy()
  return 'connected'
}

/** Two agents: the server's, which founds the domain, and that of its clients. */
async function twoHosts(scope: Scope): Promise<{ near: TestAgent; far: TestAgent; client: AgentClient }> {
  const far = await new TestAgent(scope, { name: 'far', args: ['--init', 'example.org'] }).start()
  const token = await far.token('near')
  const near = await new TestAgent(scope, { name: 'near', args: ['--join', token] }).start()
  const client = new AgentClient({ runtimeDir: near.runtimeDir })
  scope.defer(() => void client.close())
  return { near, far, client }
}

test('a registration takes as many connections in a second as it says, and others as many as before', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] }).start()
  const server = createServer(socket => void socket.on('error', () => {}).end('hello'))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  scope.defer(() => server.close())
  const tcp = `127.0.0.1:${(server.address() as AddressInfo).port}`
  for (const [address, ...options] of [
    ['dev.web.few.default', '--max-connects', String(MOST)],
    ['dev.web.many.default']
  ]) {
    agent.spawn(['expose', address ?? '', '--tcp', tcp, '--server-user', 'any', '--allow', 'dev.*.*.*', ...options])
    await agent.knows(address ?? '')
  }
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  scope.defer(() => client.close())
  const dial = async (address: string): Promise<string> => {
    try {
      const socket = await connect(address, { client, as: 'dev.shop.cart.default' })
      socket.on('error', () => {}).destroy()
      return 'connected'
    } catch (err) {
      return err instanceof Error && 'code' in err ? String(err.code) : String(err)
    }
  }
  // Its first check may not have passed yet.
  for (const address of ['dev.web.few.default', 'dev.web.many.default']) {
    await waitFor(async () => (await dial(address)) === 'connected', `a connection to ${address}`)
  }
  const all = async (address: string) => await Promise.all(Array.from({ length: ASKED }, () => dial(address)))
  const startedMs = performance.now()
  const outcomes = await all('dev.web.few.default')
  const most = MOST + (MOST * (performance.now() - startedMs)) / 1_000 + 1
  const connected = outcomes.filter(outcome => outcome === 'connected').length
  assert.ok(connected <= most, `${connected} connections`)
  assert.deepEqual(new Set(outcomes.filter(outcome => outcome !== 'connected')), new Set([ErrorCode.LimitExceeded]))
  assert.deepEqual(new Set(await all('dev.web.many.default')), new Set(['connected']))
  assert.match(await agent.cli('metrics'), /^warren_limit_hits_total\{limit="proxy_connects_per_workload"\} [1-9]/m)
  // It is no end: later ones are taken again.
  await waitFor(async () => (await dial('dev.web.few.default')) === 'connected', 'a later connection')
})

test('a client that floods a server leaves another client its share of the connections that the server takes', async t => {
  const scope = scopeOf(t)
  const { near, far, client } = await twoHosts(scope)
  const allow = ['--allow', 'dev.*.*.*', '--max-connects', '10']
  far.spawn(['expose', SITE, '--tcp', await greeter(scope), '--server-user', 'any', ...allow])
  await near.knows(SITE)
  for (const as of ['dev.shop.flood.default', 'dev.shop.cart.default']) {
    await waitFor(async () => (await dialOnce(client, as)) === 'connected', `a connection of ${as}`)
  }
  let isOver = false
  const outcomes = new Map<string, number>()
  const flood = Promise.all(
    Array.from({ length: 32 }, async () => {
      while (!isOver) {
        const outcome = await dialOnce(client, 'dev.shop.flood.default')
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      }
    })
  )
  await waitFor(() => (outcomes.get(ErrorCode.LimitExceeded) ?? 0) > 0, 'the flood to be refused')
  for (let n = 0; n < 20; n += 1) assert.equal(await dialOnce(client, 'dev.shop.cart.default'), 'connected')
  isOver = true
  await flood
  assert.deepEqual(new Set(outcomes.keys()), new Set(['connected', ErrorCode.LimitExceeded]))
  assert.match(await far.cli('metrics'), /^warren_limit_hits_total\{limit="proxy_connects_per_workload"\} [1-9]/m)
})

test('a rule and an entry limit what they grant, and a change of them holds at once', async t => {
  const scope = scopeOf(t)
  const { near, far, client } = await twoHosts(scope)
  far.spawn(['expose', SITE, '--tcp', await greeter(scope), '--server-user', 'any'])
  await near.knows(SITE)
  await far.allow('dev.shop.*.*', SITE)
  await waitFor(async () => (await dialOnce(client, 'dev.shop.cart.default')) === 'connected', 'a connection')
  const most = async (limit: number): Promise<void> => {
    const startedMs = performance.now()
    const outcomes = await Promise.all(Array.from({ length: ASKED }, () => dialOnce(client, 'dev.shop.cart.default')))
    const connected = outcomes.filter(outcome => outcome === 'connected').length
    const bound = limit + (limit * (performance.now() - startedMs)) / 1_000 + 1
    assert.ok(connected <= bound, `${connected} of at most ${bound}`)
    assert.deepEqual(new Set(outcomes.filter(one => one !== 'connected')), new Set([ErrorCode.LimitExceeded]))
  }
  await far.cli('allow', 'dev.shop.*.*', SITE, '--max-connects', '3', '--max-rate', '2M')
  await most(3)
  assert.match(await far.cli('metrics'), /^warren_limit_hits_total\{limit="proxy_connects_per_rule"\} [1-9]/m)
  assert.match(await far.cli('policy', 'show'), /LIMITS[\s\S]*3 connections\/s, 2\.0 MB\/s/)
  const explained = await far.attempt(['explain', 'dev.shop.cart.default.near', SITE])
  assert.match(explained.stdout, /rule r\d+ allows 3 connections and 2000000 bytes in a second/)
  // The rule for the pair is replaced; now an entry limits the registration.
  await far.allow('dev.shop.*.*', SITE)
  await far.cli('entry', 'add', '--uid', String(process.getuid?.()), SITE, '--max-connects', '2')
  await waitFor(async () => (await dialOnce(client, 'dev.shop.cart.default')) === 'connected', 'a connection again')
  await most(2)
  assert.match(await far.cli('entry', 'list'), /LIMITS[\s\S]*2 connections\/s/)
  assert.match(await far.cli('inspect'), /^limits +2 connections\/s$/m)
  const refused = await far.attempt(['deny', 'dev.shop.*.*', SITE, '--max-connects', '3'])
  assert.equal(refused.code, 2, refused.stderr)
})

test('a rate of bytes holds for the connections of a registration, and its end for those that are open', async t => {
  const scope = scopeOf(t)
  const { near, far, client } = await twoHosts(scope)
  far.spawn(['expose', SITE, '--tcp', await greeter(scope), '--server-user', 'any'])
  await near.knows(SITE)
  const rate = 1_000_000
  await far.cli('allow', 'dev.shop.*.*', SITE, '--max-rate', '1M')
  let socket: MeshSocket | undefined
  await waitFor(async () => {
    const answer = await dial(client, 'dev.shop.cart.default')
    if (typeof answer === 'string') return answer
    socket = answer
    return true
  }, 'a connection')
  if (socket === undefined) throw new Error('there is no connection')
  const carried = async (): Promise<number> => {
    const { flows } = JSON.parse(await far.cli('flows', '--json')) as { flows: Array<{ bytesOut: string }> }
    return Number(flows[0]?.bytesOut ?? 0)
  }
  const chunk = Buffer.alloc(64 * 1024)
  const writer = socket
  let isOver = false
  const write = (): void => {
    while (!isOver && writer.write(chunk)) {}
  }
  writer.on('drain', write)
  const startedMs = performance.now()
  write()
  await waitFor(async () => (await carried()) > 4 * rate, 'four seconds of bytes')
  const bytes = await carried()
  // A burst, and what was on its way when the limit was reached: it is waited for after.
  const most = rate * ((performance.now() - startedMs) / 1_000 + 0.1) + 512 * 1_024
  assert.ok(bytes <= most, `${bytes} bytes, at most ${most}`)
  assert.match(await far.cli('metrics'), /^warren_limit_hits_total\{limit="proxy_bytes_per_second"\} [1-9]/m)
  // Without the limit the open connection is as fast as the host.
  await far.allow('dev.shop.*.*', SITE)
  const before = await carried()
  await waitFor(async () => (await carried()) > before + 100 * rate, 'the connection to be fast')
  isOver = true
  writer.destroy()
})

test('a bound of connections that is none is refused', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] }).start()
  for (const rate of ['0', '999', '5G', '1.5.5M', 'fast', '10m']) {
    const { code, stderr } = await agent.attempt(['register', 'dev.web.site.default', '--max-rate', rate])
    assert.equal(code, 2, stderr)
    assert.match(stderr, /--max-rate/)
  }
  for (const number of ['0', '1.5', 'many', '1000001']) {
    const { code, stderr } = await agent.attempt(['register', 'dev.web.site.default', '--max-connects', number])
    assert.equal(code, 2, stderr)
    assert.match(stderr, /--max-connects/)
  }
})
